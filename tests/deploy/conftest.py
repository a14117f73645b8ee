"""What a rolling deploy has for itself: database, Redis, treasury, relayer, float, and a key with prepaid money."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from eth_account import Account as Key

from accounts.models import Account
from accounts.services import api_keys
from loa_site.local import ports
from loa_site.local.redis import Redis
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger, own_ledger_of
from tests.suite_report import SuiteReport
from tests.x402.chain_tools import LocalChain

FUNDS_MICRO_USD = 50_000_000
SLOW_MODEL = {"demo": {"class": "inference.demo.upstream.DemoUpstream", "token_seconds": 0.05}}

report = SuiteReport("deploy", folder="tests/deploy/", seconds_max=3_600)


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """What is told in `.loa/reports/deploy.json`."""
    return report.figures


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether `make drill` runs this, rather than the whole suite."""
    return os.environ.get("DRILL_LONG", "") == "1"


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(settings.LOA["NETWORKS"][ledger.NETWORK]["rpc_urls"][0])


@pytest.fixture
def deployed(own_database: dict[str, str], transactional_db: None) -> Iterator[OwnLedger]:
    """A ledger that only this deployment uses."""
    with own_ledger_of(own_database) as opened:
        yield opened


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Its Redis, with queues that nobody else fills."""
    server = Redis(tmp_path / "redis", ports.free_port())
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True, slots=True)
class Customer:
    """An account with prepaid money and a key."""

    account_id: str
    api_key: str


@pytest.fixture
def customer(deployed: OwnLedger) -> Customer:
    account_id = Account.objects.create().pk
    _, secret = api_keys.create(account_id, created_by="0x" + "22" * 20)
    ledger.give_prepaid(account_id, FUNDS_MICRO_USD)
    return Customer(account_id, secret)


@pytest.fixture
def treasury() -> str:
    """Where only this deployment is paid."""
    return "0x" + secrets.token_hex(20)


@pytest.fixture
def environment(deployed: OwnLedger, redis: Redis, treasury: str, chain: LocalChain) -> dict[str, str]:
    """The variables of every process of the deployment."""
    relayer, refund_float = Key.create(), Key.create()
    chain.call("anvil_setBalance", relayer.address, hex(10**20))
    return {
        **os.environ,
        **deployed.urls,
        "REDIS_URL": redis.url,
        "CELERY_BROKER_URL": redis.url,
        "LOA_PAY_TO": treasury,
        "LOA_RELAYER_PRIVATE_KEY": "0x" + bytes(relayer.key).hex(),
        "LOA_REFUND_PRIVATE_KEY": "0x" + bytes(refund_float.key).hex(),
        "LOA_UPSTREAMS": json.dumps(SLOW_MODEL),
        "LOA_WAIT_SECONDS": "20",
    }
