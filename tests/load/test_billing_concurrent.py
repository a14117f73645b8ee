"""Payments at once: the four scenarios of task 13.4, with their figures."""

import secrets
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings as site
from django.test import Client

from billing.domain import accounts
from billing.domain.errors import FinalizeDeferred
from billing.selectors.reports import pending_risk
from billing.services import dead_letters, reservations
from billing.services.dead_letters import PendingRiskCap
from billing.services.finalization import finalize
from billing.services.finalize_drain import drain_finalize
from outbound.breaker import State
from outbound.breaker_state import settlement_breaker
from telemetry.identifiers import new_id
from tests.billing.dead_letters.test_finalize_drain import repair
from tests.factories import ledger, queues
from tests.factories.ledger import PaidCall
from tests.faults.facilitator_proxy import FacilitatorProxy
from tests.load.measuring import Measured, at_once
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.models import Payment, PaymentState
from x402.services import settler

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("payment_table"),
    pytest.mark.urls("tests.x402.paid_urls"),
]

Scenario = Callable[[str, Callable[[], Measured]], Measured]

FLOWS, FAILURES, BUYERS, QUOTES = 50, 5, 20, 100
HELD, COST, PRICE = 2_000, 700, 10_000
QUESTION = {"model": "loa-demo", "prompt": "How much?", "max_tokens": 64}
# More than the ledger can hold as revenue: such a booking is refused, as a settlement that cannot be finalized is.
REFUSED_COST = 2**63 - 1


@pytest.fixture(autouse=True)
def _no_letters() -> Iterator[None]:
    queues.empty()
    yield
    queues.empty()


def test_fifty_reserve_and_commit_flows_at_once_all_complete(scenario: Scenario) -> None:
    booked: list[tuple[str, str]] = []

    def play() -> Measured:
        holders = [ledger.prepaid_account(HELD) for _ in range(FLOWS)]

        def flow(number: int) -> None:
            entry_id, facts = new_id("ent"), {"account_id": holders[number], "correlation_id": "quo_load"}
            reservations.reserve(entry_id=entry_id, amount_micro_usd=HELD, **facts)
            reservations.commit(entry_id=entry_id, held_micro_usd=HELD, cost_micro_usd=COST, **facts)
            booked.append((entry_id, holders[number]))

        return at_once(FLOWS, flow)

    measured = scenario("reserve_and_commit", play)

    assert measured.errors == []
    assert len(booked) == len(measured.latencies)
    for entry_id, holder in booked:
        assert ledger.entry_state(entry_id) == "FINALIZE_ACKED"
        assert ledger.balance(accounts.available(holder), accounts.PREPAID) == HELD - COST
        assert ledger.balance(accounts.held(holder), accounts.PREPAID) == 0


def test_fifty_with_five_failures_leave_five_letters_whose_risk_is_capped_until_they_are_retried(
    scenario: Scenario,
) -> None:
    finalize(payment=PaidCall().settle().request(1))

    def play() -> Measured:
        calls = [PaidCall(amount=HELD).settle() for _ in range(FLOWS)]
        account_id = ledger.prepaid_account(1_000)
        reserve = {"account_id": account_id, "amount_micro_usd": 1, "correlation_id": "quo_load"}

        def flow(number: int) -> bool:
            try:
                finalize(payment=calls[number].request(REFUSED_COST if number < FAILURES else COST))
            except FinalizeDeferred:
                return False
            return True

        measured = at_once(FLOWS, flow)
        assert sorted(measured.answers) == [False] * FAILURES + [True] * (FLOWS - FAILURES)
        assert len(dead_letters.list_letters(queue="finalize")) == FAILURES
        with pytest.raises(PendingRiskCap):
            reservations.reserve(entry_id=new_id("ent"), **reserve)
        queues.make_due()
        assert drain_finalize().refused == FAILURES
        for call in calls[:FAILURES]:
            repair(call)
        assert queues.work_off().booked == FAILURES
        assert pending_risk() == 0
        reservations.reserve(entry_id=new_id("ent"), **reserve)
        assert {ledger.entry_state(call.entry_id) for call in calls} == {"FINALIZE_ACKED"}
        assert {tuple(ledger.notes_of(call.wallet)) for call in calls} == {(("change", HELD - COST, HELD - COST),)}
        return measured

    measured = scenario("finalize_with_failures", play)

    assert measured.errors == []


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(site.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])


@pytest.fixture
def dead_facilitator(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A facilitator elsewhere comes first, and nobody listens there."""
    with FacilitatorProxy("http://127.0.0.1:1") as proxy:
        proxy.refuse()
        remote, direct = (
            f"x402.facilitators.{name}" for name in ("remote.RemoteFacilitator", "direct.DirectFacilitator")
        )
        settings.LOA = settings.LOA | {
            "FACILITATORS": (remote, direct),
            "FACILITATOR_URL": proxy.url,
            "FACILITATOR_TIMEOUT_SECONDS": 2,
            "FACILITATOR_HANDOVER_SECONDS": 1,
        }
        monkeypatch.setattr(settler, "_settlers", {})
        settlement_breaker.force_close()
        yield
        assert settler.rest()
        settlement_breaker.force_close()


@pytest.mark.usefixtures("dead_facilitator")
def test_a_circuit_that_opens_under_load_sends_every_payment_through_our_relayer(
    scenario: Scenario, chain: LocalChain
) -> None:
    paid: list[str] = []

    def play() -> Measured:
        settlement_breaker.force_close()
        buyers = [Buyer("0x" + secrets.token_hex(32), Client()) for _ in range(BUYERS)]
        for buyer in buyers:
            chain.mint(buyer.address, PRICE)

        def buy(number: int) -> int:
            return int(buyers[number].buy("/fixed").status_code)

        measured = at_once(BUYERS, buy)
        paid.extend(buyer.address.lower() for buyer in buyers)
        return measured

    paid_urls.runs.clear()
    measured = scenario("circuit_opens", play)

    assert measured.errors == []
    assert set(measured.answers) == {200}
    assert settlement_breaker.state() is State.OPEN
    payments = Payment.objects.filter(payer__in=paid)
    assert set(payments.values_list("state", flat=True)) == {PaymentState.SERVED}
    assert payments.count() == len(paid) == paid_urls.runs["fixed"]


@pytest.mark.urls("loa_site.urls")
def test_a_hundred_quotes_at_once_are_a_hundred_quotes(scenario: Scenario) -> None:
    def play() -> Measured:
        def ask(_number: int) -> str:
            answer = Client().post("/api/v1/x402/quote", QUESTION, content_type="application/json")
            assert answer.status_code == 200, answer.content
            return str(answer.json()["quote_id"])

        return at_once(QUOTES, ask)

    measured = scenario("quotes", play)

    assert measured.errors == []
    assert len(set(measured.answers)) == len(measured.answers) == len(measured.latencies)
