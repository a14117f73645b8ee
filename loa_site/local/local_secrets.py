"""The local site's secrets: made once, kept beside its data, readable by their owner only.

They are random, so that a local stack reachable from elsewhere is not open to who knows this file; only the wallets'
keys are public, because a chain that nobody else uses gives them no value.
"""

import json
import secrets
from pathlib import Path

from loa_site.local.stack import write_private

NAMES = ("secret_key", "quote_key", "answer_key", "pepper", "webhook_key", "admin_password")


def local_secrets(folder: Path) -> dict[str, str]:
    """The secrets kept in the folder; made when they are not there."""
    path = folder / "secrets.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in NAMES if name not in kept]
    if missing:
        kept |= {
            name: secrets.token_urlsafe(16) if name == "admin_password" else secrets.token_hex(32) for name in missing
        }
        write_private(path, json.dumps(kept, indent=2))
    return kept
