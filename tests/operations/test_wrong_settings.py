"""A deployment with wrong settings refuses to start and says by a number what is wrong (faults.md 88).

Each case is a process of its own that imports what the web server imports, with one variable changed.
"""

import json
import os
import secrets
import subprocess
import sys

import pytest

from loa_site.local import binaries, wallets
from loa_site.local.deploy_check import VARIABLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVE = [sys.executable, "-c", "import loa_site.wsgi; print('serving')"]
WORK = [sys.executable, "-m", "celery", "-A", "loa_site.celery", "worker", "-Q", "default", "-c", "1"]
RPC = "https://rpc.example.com"
BOTH_KINDS = {
    caip2: {"rpc_urls": [RPC], "pay_to": wallets.address_of(bytes.fromhex("5e" * 32))}
    for caip2 in ("eip155:84532", "eip155:8453")
}
REAL_USDC = {"usdc": {"address": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "name": "USDC", "version": "2"}}
FOREIGN_TOKEN = {"eip155:84532": BOTH_KINDS["eip155:84532"] | {"assets": {"usdc": REAL_USDC["usdc"] | {"decimals": 6}}}}


def deployment() -> dict[str, str]:
    """What a deployment that is well would set, and nothing of this test run's."""
    of_the_system = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return (
        of_the_system
        | VARIABLES
        | {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "LOA_PAY_TO": wallets.address_of(secrets.token_bytes(32)),
            "LOA_RELAYER_PRIVATE_KEY": "0x" + secrets.token_hex(32),
            "LOA_QUOTE_KEYS": f"k1:{secrets.token_hex(32)}",
            "LOA_ANSWER_ENCRYPTION_KEY": secrets.token_hex(32),
            "LOA_API_KEY_PEPPER": secrets.token_hex(32),
        }
    )


def start(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=binaries.ROOT,
        env=deployment() | changes,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_a_deployment_that_is_well_starts() -> None:
    started = start(SERVE)

    assert (started.returncode, started.stdout.strip()) == (0, "serving"), started.stderr[-2000:]


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        ("loa.E002", {"LOA_RELAYER_PRIVATE_KEY": wallets.relayer().private_key}),
        ("loa.E003", {"LOA_PUBLIC_ORIGIN": "http://pay.example.com"}),
        ("loa.E004", {"DEBUG": "true"}),
        ("loa.E005", {"SECRET_KEY": "secret"}),
        ("loa.E005", {"SECRET_KEY": "django-insecure-" + secrets.token_urlsafe(64)}),
        ("loa.E006", {"LOA_NETWORKS": json.dumps(BOTH_KINDS)}),
        ("loa.E006", {"LOA_NETWORKS": json.dumps(FOREIGN_TOKEN)}),
        ("loa.E007", {"LOA_FACILITATOR_URL": "http://facilitator.example.com"}),
        ("x402.E004", {"LOA_PAY_TO": "0x" + "0" * 40}),
        ("x402.E006", {"LOA_QUOTE_KEYS": "k1:short"}),
        ("x402.E012", {"LOA_PAID_PATHS": json.dumps({"reports": {"price": "$0"}})}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_one_wrong_setting_stops_the_start_and_is_named_by_its_number(number: str, changes: dict[str, str]) -> None:
    started = start(SERVE, **changes)

    assert started.returncode != 0
    assert "serving" not in started.stdout
    assert number in started.stderr
    assert all(value not in started.stderr for name, value in changes.items() if "KEY" in name and len(value) > 20)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"LOA_PAYMENT_CIELING_MICRO_USDC": "1"}, "LOA_PAYMENT_CIELING_MICRO_USDC"),
        ({"LOA_CRASH_POINTS": "settled"}, "LOA_CRASH_POINTS"),
        ({"SECRET_KEY": ""}, "SECRET_KEY must be set"),
    ],
)
def test_what_is_misspelt_for_tests_or_absent_stops_it_too(changes: dict[str, str], said: str) -> None:
    started = start(SERVE, **changes)

    assert started.returncode != 0
    assert said in started.stderr


def test_a_worker_refuses_as_the_web_server_does() -> None:
    started = start(WORK, LOA_FACILITATOR_URL="http://facilitator.example.com")

    assert started.returncode != 0
    assert "loa.E007" in started.stderr
