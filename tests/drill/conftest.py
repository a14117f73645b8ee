"""What every drill has for itself: a treasury, a relayer, a float and payers, so that its chain history is its own."""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as settings_of_django
from django.core.management import call_command
from eth_account import Account

from tests.drill.payers import NewBuyer
from tests.factories import ledger
from tests.suite_report import SuiteReport
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.chain import network_settings

IS_LONG = os.environ.get("DRILL_LONG", "") == "1"
FLOAT_MICRO_USDC = 10_000_000

report = SuiteReport("drill", folder="tests/drill/", seconds_max=3_600)


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """What is told in `.loa/reports/drill.json`."""
    return report.figures


@pytest.fixture(scope="session")
def size() -> int:
    """How many payments each part of a drill makes."""
    return 30 if IS_LONG else 3


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(settings_of_django.LOA["NETWORKS"][ledger.NETWORK]["rpc_urls"][0])


@pytest.fixture
def treasury_key() -> str:
    """What signs where this test is paid; people hold it, never the service."""
    return "0x" + secrets.token_hex(32)


@pytest.fixture
def treasury(settings: LazySettings, treasury_key: str) -> Iterator[str]:
    """An address that only this test is paid at, on a network whose blocks are final at once."""
    address = Account.from_key(treasury_key).address
    network = {**settings.LOA["NETWORKS"][ledger.NETWORK], "pay_to": address, "finality_tag": "latest"}
    settings.LOA = {**settings.LOA, "NETWORKS": {ledger.NETWORK: network}}
    network_settings.networks.cache_clear()
    yield address
    network_settings.networks.cache_clear()


@pytest.fixture(autouse=True)
def _own_keys(chain: LocalChain, settings: LazySettings) -> None:
    """A relayer and a float that only this test's database knows: others' must not have sent what no row tells."""
    relayer, refund_float = Account.create(), Account.create()
    chain.call("anvil_setBalance", relayer.address, hex(10**20))
    chain.mint(refund_float.address, FLOAT_MICRO_USDC)
    settings.LOA = {
        **settings.LOA,
        "RELAYER_PRIVATE_KEY": "0x" + bytes(relayer.key).hex(),
        "REFUND_PRIVATE_KEY": "0x" + bytes(refund_float.key).hex(),
    }


@pytest.fixture
def new_buyer(chain: LocalChain) -> NewBuyer:
    """A wallet nobody used before, with as many MicroUSDC as asked for."""

    def make(balance_micro_usdc: int) -> Buyer:
        buyer = Buyer("0x" + secrets.token_hex(32))
        chain.mint(buyer.address, balance_micro_usdc)
        return buyer

    return make


@pytest.fixture
def told() -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs an operators' command with --json; its exit code and what it said."""

    def run(name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        out, code = StringIO(), 0
        try:
            call_command(name, "--json", *arguments, stdout=out)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, json.loads(out.getvalue())

    return run
