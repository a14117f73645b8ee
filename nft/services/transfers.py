"""Transfers that an index tells of: what was remembered about both wallets is forgotten, so it is asked anew.

A notice is believed when it is signed by a key of the settings; an old one that is sent again only makes us ask again.
Source: Alchemy, "Notify API": X-Alchemy-Signature is the HMAC-SHA256 of the raw body, in hex.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from accounts.addresses import canonical_wallet
from nft.services.detection import forget_wallet
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

ACTIVITIES_MAX: Final = 1_000

log = get_logger(__name__)


def is_signed(body: bytes, signature: str) -> bool:
    """Whether a notice was signed by one of our keys; false where there is none."""
    given = signature.strip().lower().encode()
    expected = [hmac.new(key.encode(), body, hashlib.sha256).hexdigest() for key in loa("ALCHEMY_SIGNING_KEYS")]
    return any(hmac.compare_digest(one.encode(), given) for one in expected)


def note_transfers(document: object) -> int:
    """Forget both wallets of each transfer in a notice; how many wallets that were. Passes over what is no transfer."""
    wallets = sorted({wallet for activity in _activities(document) for wallet in _wallets_of(activity)})
    for wallet in wallets:
        forget_wallet(wallet)
    log.info(names.NFT_TRANSFERS_SEEN, wallet_count=len(wallets))
    return len(wallets)


def _activities(document: object) -> list[object]:
    event = document.get("event") if isinstance(document, Mapping) else None
    activities = event.get("activity") if isinstance(event, Mapping) else None
    return activities[:ACTIVITIES_MAX] if isinstance(activities, list) else []


def _wallets_of(activity: object) -> list[str]:
    if not isinstance(activity, Mapping):
        return []
    found = []
    for field in ("fromAddress", "toAddress"):
        try:
            found.append(canonical_wallet(str(activity.get(field, ""))))
        except ValueError:
            continue
    return found
