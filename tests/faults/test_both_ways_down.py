"""The circuit is open and the relayer cannot send: the payer is told at once, and the payment pays later (12.3)."""

import time
from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from outbound.breaker_state import settlement_breaker
from tests.faults.remote_tools import carrier_of, payment_of, relayer, transfers_of
from tests.faults.test_remote_facilitator import (
    DIRECT,
    REMOTE,
    _verified_ledger,
    chain,
    facilitator,
    new_buyer,
    proxy,
    remote_first,
    require_one_payment,
)
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from x402.models import RemoteAttempt, SettlementAttempt

# Fixtures are used by their names.
__all__ = ["_verified_ledger", "chain", "facilitator", "new_buyer", "proxy", "remote_first"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


@pytest.fixture
def without_gas_money(chain: LocalChain) -> Iterator[None]:
    before = chain.call("eth_getBalance", relayer(), "latest")
    chain.call("anvil_setBalance", relayer(), "0x0")
    yield
    chain.call("anvil_setBalance", relayer(), before)


@pytest.mark.parametrize("unable", ["fees above the ceiling", "no gas money", "no relayer"])
def test_with_the_circuit_open_and_the_relayer_unable_the_payer_is_told_at_once(
    chain: LocalChain,
    new_buyer: Callable[[], Buyer],
    settings: Settings,
    request: pytest.FixtureRequest,
    unable: str,
) -> None:
    """Nothing is handed to anybody: the payment rests in its row and pays when it is sent again."""
    before = settings.LOA
    waits = {"WAIT_SECONDS": 60, "FACILITATORS": (REMOTE,) if unable == "no relayer" else (REMOTE, DIRECT)}
    ceiling = {"RELAYER_FEE_CEILING_WEI": 1} if unable.startswith("fees") else {}
    settings.LOA = before | waits | ceiling
    if unable == "no gas money":
        request.getfixturevalue("without_gas_money")
    settlement_breaker.force_open(seconds=300)
    buyer = new_buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/fixed")))}
    began = time.monotonic()

    down = buyer.ask("/fixed", headers=header)

    assert time.monotonic() - began < 30  # half of what it would wait for an answer
    assert (down.status_code, down.json()["code"]) == (503, "settlement_unavailable")
    assert int(down["Retry-After"]) > 0
    assert not down.has_header("PAYMENT-REQUIRED")
    row = payment_of(buyer)
    assert (down.json()["payment_id"], row.state, row.transaction_hash) == (row.pk, "verified", "")
    assert not RemoteAttempt.objects.filter(payment=row).exists()
    assert not SettlementAttempt.objects.filter(payment=row).exists()
    assert (paid_urls.runs["fixed"], transfers_of(chain, buyer)) == (0, [])


def test_a_payment_that_rested_while_both_ways_were_down_pays_when_it_is_sent_again(
    chain: LocalChain, new_buyer: Callable[[], Buyer], settings: Settings
) -> None:
    before, settings.LOA = settings.LOA, settings.LOA | {"RELAYER_FEE_CEILING_WEI": 1}
    settlement_breaker.force_open(seconds=300)
    buyer = new_buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/fixed")))}
    down = buyer.ask("/fixed", headers=header)
    settings.LOA = before

    answer = buyer.ask("/fixed", headers=header)

    assert down.status_code == 503
    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == relayer()
