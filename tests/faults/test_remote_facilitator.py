"""A facilitator elsewhere is first and our relayer behind it: one transfer and one answer, whatever the first one does.

Rows 47 to 49 of faults.md, rule R17, and task 12.3 of the sprint plan on a running payment.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as site
from django.core.management import call_command
from django.test import Client
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from outbound.breaker import State
from outbound.breaker_state import settlement_breaker
from tests.attacks.score import require_balanced_books
from tests.attacks.tools import in_background, until
from tests.faults.facilitator_proxy import FacilitatorProxy
from tests.faults.honest_facilitator import HonestFacilitator
from tests.faults.remote_tools import carrier_of, close_circuit, payment_of, relayer, transfers_of
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from x402 import tasks
from x402.models import Payment, RemoteAttempt, RemoteOutcome, SettlementAttempt
from x402.services import settler, sweeps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

NETWORK = "eip155:84532"
PRICE = 10_000
REMOTE = "x402.facilitators.remote.RemoteFacilitator"
DIRECT = "x402.facilitators.direct.DirectFacilitator"


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(site.LOA["NETWORKS"][NETWORK]["rpc_urls"][0])


@pytest.fixture
def new_buyer(chain: LocalChain) -> Callable[[], Buyer]:
    def make() -> Buyer:
        made = Buyer("0x" + secrets.token_hex(32), Client())
        chain.mint(made.address, 1_000_000)
        return made

    return make


@pytest.fixture
def facilitator(chain: LocalChain) -> Iterator[HonestFacilitator]:
    with HonestFacilitator(chain) as honest:
        yield honest


@pytest.fixture
def proxy(facilitator: HonestFacilitator) -> Iterator[FacilitatorProxy]:
    with FacilitatorProxy(facilitator.url) as between:
        yield between


@pytest.fixture(autouse=True)
def remote_first(settings: Settings, proxy: FacilitatorProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The facilitator first, our relayer second, a closed circuit, and a settler that knows nothing of other tests."""
    settings.LOA = settings.LOA | {
        "FACILITATORS": (REMOTE, DIRECT),
        "FACILITATOR_URL": proxy.url,
        "FACILITATOR_TOKEN": "for-the-facilitator",
        "FACILITATOR_TIMEOUT_SECONDS": 2,
        "FACILITATOR_HANDOVER_SECONDS": 1,
    }
    monkeypatch.setattr(settler, "_settlers", {})
    close_circuit()
    paid_urls.runs.clear()
    yield
    assert settler.rest()
    close_circuit()
    require_balanced_books()


@pytest.fixture(autouse=True, scope="module")
def _verified_ledger(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    yield
    if site.TEST_SERVICES:
        with django_db_blocker.unblock():
            call_command("ledger_verify")


def require_one_payment(chain: LocalChain, buyer: Buyer, answer: Any) -> None:
    """Answered once, paid once, and the books know the very log that paid."""
    assert answer.status_code == 200, answer.content
    [transfer] = transfers_of(chain, buyer)
    payment = payment_of(buyer)
    assert (payment.state, payment.transaction_hash) == ("served", transfer["transactionHash"])
    assert int(transfer["data"], 16) == PRICE
    assert paid_urls.runs["fixed"] == 1


def test_a_healthy_facilitator_settles_and_our_relayer_sends_nothing(
    chain: LocalChain, facilitator: HonestFacilitator, new_buyer: Callable[[], Buyer]
) -> None:
    buyer = new_buyer()

    answer = buyer.buy("/fixed")

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == facilitator.address.lower()
    assert not SettlementAttempt.objects.filter(payment=payment_of(buyer)).exists()
    assert facilitator.headers[-1]["authorization"] == "Bearer for-the-facilitator"
    assert facilitator.asked[-1]["x402Version"] == 2
    attempt = RemoteAttempt.objects.get(payment=payment_of(buyer))
    assert (attempt.outcome, attempt.claimed_transaction) == ("claimed", payment_of(buyer).transaction_hash)


def test_a_facilitator_of_version_one_is_asked_in_version_one(
    chain: LocalChain, settings: Settings, new_buyer: Callable[[], Buyer]
) -> None:
    buyer = new_buyer()
    with HonestFacilitator(chain, versions=(1,)) as older:
        settings.LOA = settings.LOA | {"FACILITATOR_URL": older.url}

        answer = buyer.buy("/fixed")

        require_one_payment(chain, buyer, answer)
        [asked] = older.asked
    assert asked["x402Version"] == asked["paymentPayload"]["x402Version"] == 1
    assert asked["paymentPayload"]["network"] == asked["paymentRequirements"]["network"] == "base-sepolia"
    assert asked["paymentRequirements"]["maxAmountRequired"] == str(PRICE)
    assert carrier_of(chain, buyer) == older.address.lower()


def test_a_worker_waits_for_a_facilitator_that_takes_its_time(
    chain: LocalChain,
    proxy: FacilitatorProxy,
    facilitator: HonestFacilitator,
    new_buyer: Callable[[], Buyer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy.mode, proxy.delay_seconds = "slow", 1.0
    monkeypatch.setattr(settler, "wake", lambda network: None)
    buyer = new_buyer()
    answer = in_background(lambda: buyer.buy("/fixed"))
    until(lambda: Payment.objects.filter(payer=buyer.address.lower(), state="verified").exists())

    settled = tasks.settle_due()

    require_one_payment(chain, buyer, answer.result(20))
    assert settled == 1
    assert carrier_of(chain, buyer) == facilitator.address.lower()


def test_a_refused_connection_sends_the_payment_through_our_relayer_in_the_same_request(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer]
) -> None:
    proxy.refuse()
    buyer = new_buyer()

    answer = buyer.buy("/fixed")

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == relayer()
    assert RemoteAttempt.objects.get(payment=payment_of(buyer)).outcome == RemoteOutcome.NOTHING_SENT


def test_three_failures_open_the_circuit_and_the_fourth_payment_never_meets_the_facilitator(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer], capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.refuse()
    for _ in range(3):
        assert new_buyer().buy("/fixed").status_code == 200
    opened = settlement_breaker.state()
    proxy.listen()
    fourth = new_buyer()

    answer = fourth.buy("/fixed")

    assert opened is State.OPEN
    assert answer.status_code == 200
    assert carrier_of(chain, fourth) == relayer()
    assert not RemoteAttempt.objects.filter(payment=payment_of(fourth)).exists()
    assert proxy.settles == 0


def test_a_half_open_circuit_lets_one_payment_probe_and_its_success_closes_it(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer], settings: Settings
) -> None:
    settings.LOA = settings.LOA | {"BREAKER_HALF_OPEN_SECONDS": 1, "FACILITATOR_TIMEOUT_SECONDS": 20}
    proxy.refuse()
    for _ in range(3):
        assert new_buyer().buy("/fixed").status_code == 200
    proxy.listen()
    proxy.mode, proxy.delay_seconds = "slow", 4.0  # while it probes, the others pay
    time.sleep(1.1)
    buyers = [new_buyer() for _ in range(6)]

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda one: one.buy("/fixed"), buyers))

    assert [answer.status_code for answer in answers] == [200] * 6
    assert proxy.settles == 1
    assert settlement_breaker.state() is State.CLOSED
    assert RemoteAttempt.objects.filter(payment__payer__in=[one.address.lower() for one in buyers]).count() == 1
    assert all(len(transfers_of(chain, one)) == 1 for one in buyers)


@pytest.mark.parametrize("mode", ["cut", "garbage"])
def test_an_answer_lost_after_the_broadcast_is_read_from_the_chain_and_never_sent_again(
    chain: LocalChain,
    proxy: FacilitatorProxy,
    facilitator: HonestFacilitator,
    new_buyer: Callable[[], Buyer],
    mode: str,
) -> None:
    proxy.mode = mode
    buyer = new_buyer()

    answer = buyer.buy("/fixed")

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == facilitator.address.lower()
    assert not SettlementAttempt.objects.filter(payment=payment_of(buyer)).exists()
    assert RemoteAttempt.objects.get(payment=payment_of(buyer)).outcome == RemoteOutcome.UNKNOWN


def test_an_unknown_outcome_keeps_the_relayer_away_until_the_chain_shows_the_authorization_unused(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer], settings: Settings
) -> None:
    settings.LOA = settings.LOA | {"FACILITATOR_HANDOVER_SECONDS": 3}
    proxy.mode = "unasked"
    buyer = new_buyer()
    started = time.monotonic()

    answer = buyer.buy("/fixed")

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == relayer()
    assert time.monotonic() - started >= 3
    attempt = RemoteAttempt.objects.get(payment=payment_of(buyer))
    assert (attempt.outcome, attempt.released_at is not None) == (RemoteOutcome.UNKNOWN, True)
    assert (attempt.released_at - attempt.sent_at).total_seconds() >= 2.9


def test_a_facilitator_that_broadcasts_after_we_gave_up_finds_the_authorization_spent(
    chain: LocalChain, proxy: FacilitatorProxy, facilitator: HonestFacilitator, new_buyer: Callable[[], Buyer]
) -> None:
    proxy.mode, proxy.delay_seconds = "slow", 4.0  # the call ends after two seconds, the facilitator acts after four
    buyer = new_buyer()

    answer = buyer.buy("/fixed")
    until(lambda: len(facilitator.asked) == 1, seconds=6)
    until(lambda: int(chain.call("eth_getTransactionCount", facilitator.address, "latest"), 16) == 1)

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == relayer()
    assert chain.balance_of(buyer.address) == 1_000_000 - PRICE


def _says(**facts: Any) -> Callable[[bytes], bytes]:
    return lambda _request: json.dumps({"network": NETWORK, **facts}).encode()


@pytest.fixture
def foreign_transaction(chain: LocalChain, new_buyer: Callable[[], Buyer], proxy: FacilitatorProxy) -> str:
    """A mined transfer to us, of the same amount, that paid for another payment."""
    other = new_buyer()
    assert other.buy("/fixed").status_code == 200
    paid_urls.runs.clear()
    return payment_of(other).transaction_hash


@pytest.mark.parametrize("lie", ["no transaction", "absent transaction", "foreign transaction", "failed transaction"])
def test_success_that_the_chain_does_not_show_serves_nothing_and_counts_against_the_facilitator(
    chain: LocalChain,
    proxy: FacilitatorProxy,
    foreign_transaction: str,
    new_buyer: Callable[[], Buyer],
    lie: str,
) -> None:
    failed = chain.send_from(
        "0x" + secrets.token_hex(32), site.LOA["NETWORKS"][NETWORK]["assets"]["usdc"]["address"], "0xdeadbeef"
    )
    transactions = {
        "no transaction": "",
        "absent transaction": "0x" + secrets.token_hex(32),
        "foreign transaction": foreign_transaction,
        "failed transaction": failed,
    }
    proxy.lie = _says(success=True, transaction=transactions[lie], payer=new_buyer().address)
    proxy.mode = "lie"
    buyers = [new_buyer() for _ in range(3)]

    answers = [buyer.buy("/fixed") for buyer in buyers]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {carrier_of(chain, buyer) for buyer in buyers} == {relayer()}
    assert settlement_breaker.state() is State.OPEN
    outcomes = RemoteAttempt.objects.filter(payment__payer__in=[one.address.lower() for one in buyers])
    assert {attempt.outcome for attempt in outcomes} == {"claimed"}


def test_a_refusal_is_only_a_hint_and_our_relayer_settles_what_the_chain_shows_unused(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer]
) -> None:
    proxy.lie = _says(success=False, errorReason="insufficient_funds", transaction="")
    proxy.mode = "lie"
    buyer = new_buyer()

    answer = buyer.buy("/fixed")

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == relayer()
    assert settlement_breaker.state() is State.CLOSED  # it answered; a refusal speaks against a payment
    assert RemoteAttempt.objects.get(payment=payment_of(buyer)).reason == "insufficient_funds"


def test_a_facilitator_that_refuses_and_carries_it_all_the_same_is_paid_once(
    chain: LocalChain, proxy: FacilitatorProxy, facilitator: HonestFacilitator, new_buyer: Callable[[], Buyer]
) -> None:
    def lie(request: bytes) -> bytes:
        facilitator.settle(json.loads(request.partition(b"\r\n\r\n")[2]))
        return _says(success=False, errorReason="unexpected_settle_error", transaction="")(request)

    proxy.lie, proxy.mode = lie, "lie"
    buyer = new_buyer()

    answer = buyer.buy("/fixed")

    require_one_payment(chain, buyer, answer)
    assert carrier_of(chain, buyer) == facilitator.address.lower()


def test_with_both_ways_down_the_payer_is_told_to_send_it_again_and_nothing_is_spent(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer], settings: Settings
) -> None:
    settings.LOA = settings.LOA | {"FACILITATORS": (REMOTE,), "WAIT_SECONDS": 2}
    proxy.refuse()
    buyer = new_buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/fixed")))}

    down = buyer.ask("/fixed", headers=header)
    spent = len(transfers_of(chain, buyer))
    proxy.listen()
    close_circuit()
    answer = buyer.ask("/fixed", headers=header)

    assert (down.status_code, spent) == (503, 0)
    assert int(down["Retry-After"]) > 0
    assert down.json()["payment_id"] == payment_of(buyer).pk
    assert not down.has_header("PAYMENT-REQUIRED")
    require_one_payment(chain, buyer, answer)


def test_a_process_that_died_while_the_facilitator_had_the_payment_leaves_it_to_the_chain(
    chain: LocalChain, proxy: FacilitatorProxy, new_buyer: Callable[[], Buyer], settings: Settings
) -> None:
    """The row says where the payment is: the next process looks on the chain before it sends anything."""
    settings.LOA = settings.LOA | {
        "WAIT_SECONDS": 1,
        "FACILITATOR_TIMEOUT_SECONDS": 1,
        "FACILITATOR_HANDOVER_SECONDS": 2,
    }
    proxy.mode = "hang"
    buyer = new_buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/fixed")))}
    first = buyer.ask("/fixed", headers=header)
    abandoned = settler._settlers.pop((NETWORK, ""))
    Payment.objects.filter(pk=payment_of(buyer).pk).update(lease_until="2020-01-01T00:00:00Z")
    sweeps.sweep_payments()
    state_after_sweep = payment_of(buyer).state

    early = buyer.ask("/fixed", headers=header)
    sent_early = SettlementAttempt.objects.filter(payment=payment_of(buyer)).count()
    until(lambda: abandoned.rest(0.1), seconds=10)
    time.sleep(2.5)
    answer = buyer.ask("/fixed", headers=header)

    assert (first.status_code, early.status_code, sent_early) == (503, 503, 0)
    assert state_after_sweep in ("settlement_unknown", "settling")
    require_one_payment(chain, buyer, answer)
