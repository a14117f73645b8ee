"""Django's deployment checks with production settings and the variables a deployment would give."""

import os
import secrets
import subprocess
import sys

from loa_site.local import binaries, wallets

VARIABLES = {
    "DJANGO_SETTINGS_MODULE": "loa_site.settings.production",
    "ALLOWED_HOSTS": "pay.example.com",
    "DATABASE_URL": "postgresql://loa_app:password@database.example.com:5432/loa",
    "DATABASE_DIRECT_URL": "postgresql://loa_owner:password@database.example.com:5432/loa",
    "REDIS_URL": "rediss://cache.example.com:6379/0",
    "RPC_URL": "https://rpc.example.com",
    "CSP_ENFORCE": "true",
    "LOA_ENVIRONMENT": "production",
    "LOA_PUBLIC_ORIGIN": "https://pay.example.com",
    "LOA_QUOTE_KEY_ACTIVE": "k1",
    "LOA_UPSTREAMS": '{"models": {"class": "inference.upstreams.openai.OpenAIUpstream"}}',
}


def check_deploy() -> int:
    """Run `manage.py check --deploy`, any warning failing it; its exit code."""
    made = {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "LOA_PAY_TO": wallets.address_of(secrets.token_bytes(32)),
        "LOA_RELAYER_PRIVATE_KEY": "0x" + secrets.token_hex(32),
        "LOA_QUOTE_KEYS": f"k1:{secrets.token_hex(32)}",
        "LOA_ANSWER_ENCRYPTION_KEY": secrets.token_hex(32),
        "LOA_API_KEY_PEPPER": secrets.token_hex(32),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOA_")}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, cwd=binaries.ROOT, env=inherited | VARIABLES | made, check=False).returncode
