"""A call paid by API key: held from the prepaid balance, charged or given back, once per Idempotency-Key."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Account
from accounts.services import api_keys
from accounts.services.api_keys import KeyTerms
from billing.domain import accounts
from billing.selectors import journals
from billing.selectors.balances import balance_of
from billing.selectors.reports import pending_risk
from billing.services import dead_letters, reservations
from billing.services.reservations import release_expired
from telemetry.identifiers import new_id
from tests.factories.ledger import give_prepaid
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from x402.models import Payment
from x402.services import sweeps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


@dataclass(frozen=True)
class Program:
    """A program of an account, with its key."""

    account_id: str
    key_id: str
    secret: str

    @property
    def balance(self) -> int:
        return balance_of(accounts.available(self.account_id), accounts.PREPAID)

    @property
    def held(self) -> int:
        return balance_of(accounts.held(self.account_id), accounts.PREPAID)

    @property
    def spent_today(self) -> int:
        return api_keys.spent_today(self.key_id)

    def ask(self, path: str, document: dict[str, Any] | None = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        buyer = Buyer("0x" + "22" * 32, Client())
        try:
            return buyer.ask(path, document, {"Authorization": f"Bearer {self.secret}"} | named)
        finally:
            connection.close()


def program(balance: int = 20_000, **terms: Any) -> Program:
    account_id = Account.objects.create().pk
    row, secret = api_keys.create(account_id, created_by="0x" + "22" * 20, terms=KeyTerms(**terms))
    if balance:
        give_prepaid(account_id, balance)
    return Program(account_id, row.pk, secret)


def key() -> str:
    return secrets.token_hex(16)


def test_a_call_is_charged_what_it_cost_and_the_rest_is_given_back() -> None:
    caller = program()

    response = caller.ask("/metered", {"n": 1})

    assert response.status_code == 200, response.content
    assert (caller.balance, caller.held, caller.spent_today) == (19_300, 0, 700)
    assert receipt_of(response)["extensions"]["loa"]["charged_micro_usdc"] == "700"
    payment = Payment.objects.get(pk=response["Loa-Payment-Id"])
    assert (payment.state, payment.payer) == ("served", f"key:{caller.key_id}")
    kinds = [journal.kind for journal in journals.journals_of(payment_id=payment.pk)]
    assert kinds == ["billing_reserve", "billing_commit"]


def test_the_view_sees_the_key_as_the_payer() -> None:
    caller = program()

    assert caller.ask("/fixed").json() == {"answer": 42, "payer": f"key:{caller.key_id}"}
    assert caller.balance == 10_000


def test_cost_above_the_maximum_is_our_expense() -> None:
    caller = program()

    assert caller.ask("/dearer").status_code == 200
    assert (caller.balance, caller.held) == (18_000, 0)


@pytest.mark.parametrize(("path", "status"), [("/failing", 502), ("/refusing", 404)])
def test_work_that_fails_costs_nothing(path: str, status: int) -> None:
    caller = program(daily_cap_micro_usd=5_000)

    response = caller.ask(path, None, Idempotency_Key=key())

    assert (response.status_code, response.json()["code"]) == (status, "paid_work_failed")
    assert "prepaid balance" in response.json()["detail"]
    assert (caller.balance, caller.held, caller.spent_today) == (20_000, 0, 0)


def test_a_key_and_a_payment_together_are_400_and_cost_nothing(buyer: Buyer, chain: LocalChain) -> None:
    caller, before = program(), chain.balance_of(buyer.address)
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    v1 = buyer.v1_header(buyer.ask("/fixed").json())

    answers = [
        caller.ask("/fixed", None, PAYMENT_SIGNATURE=header),
        caller.ask("/fixed", None, X_PAYMENT=v1),
        caller.ask("/fixed", None, SIGN_IN_WITH_X="e30="),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, "ambiguous_payment")}
    assert (caller.balance, chain.balance_of(buyer.address)) == (20_000, before)


@pytest.mark.parametrize("secret", ["dk_", "dk_test_" + "A" * 43, "dk_live_" + "A" * 43])
def test_a_bad_key_is_401_and_no_price_is_named(secret: str) -> None:
    response = Program("acc_x", "key_x", secret).ask("/fixed")

    assert (response.status_code, response.json()["code"]) == (401, "invalid_api_key")
    assert not response.has_header("PAYMENT-REQUIRED")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_key_in_the_address_pays_nothing_and_is_not_passed_on() -> None:
    caller = program()

    response = Buyer("0x" + "22" * 32, Client()).ask(f"/fixed?api_key={caller.secret}")

    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert caller.secret not in response.content.decode()
    assert caller.balance == 20_000


def test_a_good_key_with_too_little_is_402_and_writes_nothing() -> None:
    caller = program(balance=9_999)

    response = caller.ask("/fixed")

    assert (response.status_code, response.json()["code"]) == (402, "insufficient_funds")
    assert (response.json()["balance_micro_usd"], response.json()["required_micro_usd"]) == ("9999", "10000")
    assert not response.has_header("PAYMENT-REQUIRED")
    assert Payment.objects.filter(account_id=caller.account_id).count() == 0


def test_a_key_without_the_scope_pay_is_403() -> None:
    response = program(scopes=("read",)).ask("/fixed")

    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


def test_the_key_of_a_first_request_gets_its_answer_again_for_nothing() -> None:
    caller, again = program(), key()

    answers = [caller.ask("/metered", {"n": 1}, Idempotency_Key=again) for _ in range(3)]

    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len({answer["Loa-Payment-Id"] for answer in answers}) == 1
    assert (caller.balance, paid_urls.runs["metered"]) == (19_300, 1)


def test_the_key_of_another_body_is_422() -> None:
    caller, again = program(), key()
    caller.ask("/metered", {"n": 1}, Idempotency_Key=again)

    response = caller.ask("/metered", {"n": 2}, Idempotency_Key=again)

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert (caller.balance, paid_urls.runs["metered"]) == (19_300, 1)


def test_one_callers_idempotency_key_never_meets_anothers() -> None:
    first, second, shared = program(), program(), key()

    answers = [one.ask("/metered", {"n": 1}, Idempotency_Key=shared) for one in (first, second)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0]["Loa-Payment-Id"] != answers[1]["Loa-Payment-Id"]
    assert (first.balance, second.balance) == (19_300, 19_300)


def test_a_rotated_key_knows_the_requests_of_the_old_one() -> None:
    caller, again = program(), key()
    first = caller.ask("/metered", {"n": 1}, Idempotency_Key=again)
    row, secret = api_keys.rotate(caller.account_id, caller.key_id, created_by="0x" + "22" * 20)

    second = Program(caller.account_id, row.pk, secret).ask("/metered", {"n": 1}, Idempotency_Key=again)

    assert second["Loa-Payment-Id"] == first["Loa-Payment-Id"]
    assert caller.balance == 19_300


def _while_one_runs(caller: Program, ask: Any) -> tuple[Any, Any]:
    """What `ask` gets while a first request for /slow runs, and what the first one gets."""
    paid_urls.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        while paid_urls.runs["slow"] == 0:
            threading.Event().wait(0.01)
        second = pool.submit(ask)
        threading.Event().wait(0.2)
        paid_urls.gate.set()
        return second.result(), first.result()


def test_a_second_request_under_a_key_in_flight_is_409_with_the_payments_id() -> None:
    caller, again = program(), key()

    second, first = _while_one_runs(caller, lambda: caller.ask("/slow", None, Idempotency_Key=again))

    assert (second.status_code, second.json()["code"]) == (409, "idempotency_key_in_flight")
    assert second.json()["payment_id"] == first["Loa-Payment-Id"]
    assert second["Retry-After"] == "1"
    assert (first.status_code, caller.balance, paid_urls.runs["slow"]) == (200, 18_000, 1)


def test_without_a_key_an_equal_request_joins_the_one_under_way() -> None:
    caller = program()

    second, first = _while_one_runs(caller, lambda: caller.ask("/slow"))

    assert (first.status_code, second.status_code) == (200, 200)
    assert first["Loa-Payment-Id"] == second["Loa-Payment-Id"]
    assert (caller.balance, paid_urls.runs["slow"]) == (18_000, 1)


def test_without_a_key_an_equal_request_that_comes_later_is_another_call() -> None:
    caller = program()

    payments = {caller.ask("/metered", {"n": 1})["Loa-Payment-Id"] for _ in range(2)}

    assert len(payments) == 2
    assert caller.balance == 18_600


def test_twenty_requests_with_one_key_are_one_call() -> None:
    caller, again = program(), key()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: caller.ask("/metered", {"n": 1}, Idempotency_Key=again), range(20)))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (caller.balance, caller.held, paid_urls.runs["metered"]) == (19_300, 0, 1)


def test_calls_at_once_never_spend_more_than_the_balance() -> None:
    caller = program(balance=25_000)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda n: caller.ask(f"/fixed?n={n}").status_code, range(8)))

    assert sorted(statuses) == [200, 200, 402, 402, 402, 402, 402, 402]
    assert (caller.balance, caller.held, caller.spent_today) == (5_000, 0, 20_000)
    assert not Payment.objects.filter(
        account_id=caller.account_id, state__in=["verified", "settled", "serving"]
    ).exists()


def test_calls_at_once_never_pass_the_daily_cap() -> None:
    caller = program(balance=100_000, daily_cap_micro_usd=30_000)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: caller.ask(f"/fixed?n={n}"), range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [402] * 5
    assert {answer.json()["code"] for answer in answers if answer.status_code == 402} == {"key_cap_reached"}
    assert (caller.balance, caller.spent_today) == (70_000, 30_000)


def test_what_a_call_did_not_cost_is_free_to_spend_again_within_the_cap() -> None:
    caller = program(daily_cap_micro_usd=2_700)

    statuses = [caller.ask("/metered", {"n": n}).status_code for n in range(3)]

    assert statuses == [200, 200, 402]
    assert caller.spent_today == 1_400


def test_losing_redis_does_not_reset_a_daily_cap(settings: Settings) -> None:
    caller = program(daily_cap_micro_usd=10_000)
    assert caller.ask("/fixed").status_code == 200
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}

    assert caller.ask("/fixed?again").json()["code"] == "key_cap_reached"


def test_a_key_that_asks_too_often_is_429_and_its_known_answers_are_not(settings: Settings) -> None:
    caller, again = program(limit_per_minute=2), key()
    caller.ask("/metered", {"n": 1}, Idempotency_Key=again)
    caller.ask("/metered", {"n": 2})

    refused, known = caller.ask("/metered", {"n": 3}), caller.ask("/metered", {"n": 1}, Idempotency_Key=again)

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert known.status_code == 200
    assert caller.balance == 18_600


def test_no_call_begins_while_too_much_served_work_is_unbooked_whichever_stream_it_is_in(settings: Settings) -> None:
    debtor, caller, again = program(), program(), key()
    entry_id = new_id("ent")
    reservations.reserve(
        entry_id=entry_id, account_id=debtor.account_id, amount_micro_usd=5_000, correlation_id="quo_unbooked"
    )
    letter = dead_letters.enqueue(
        queue="finalize", subject_id=entry_id, reason="refused", payload={"entry_id": entry_id}, entry_id=entry_id
    )
    settings.LOA = {**settings.LOA, "FINALIZE_RISK_LIMIT_MICRO_USD": pending_risk()}

    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda n: caller.ask(f"/fixed?n={n}"), range(8)))
    held_back = caller.ask("/fixed", None, Idempotency_Key=again)
    dead_letters.void(letter, by="ann", reason="the test is over")
    served = caller.ask("/fixed", None, Idempotency_Key=again)

    assert {(one.status_code, one.json()["code"]) for one in (*refused, held_back)} == {(503, "pending_risk_cap")}
    assert served.status_code == 200
    assert (caller.balance, caller.held, caller.spent_today) == (10_000, 0, 10_000)


def test_a_revoked_key_pays_nothing_more() -> None:
    caller = program()
    api_keys.revoke(caller.account_id, caller.key_id, revoked_by="0x" + "22" * 20)

    assert caller.ask("/fixed").status_code == 401
    assert caller.balance == 20_000


def test_a_key_revoked_while_its_call_runs_is_charged_for_that_call_only() -> None:
    caller = program()
    paid_urls.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(caller.ask, "/slow")
        while paid_urls.runs["slow"] == 0:
            threading.Event().wait(0.01)
        api_keys.revoke(caller.account_id, caller.key_id, revoked_by="0x" + "22" * 20)
        paid_urls.gate.set()

    assert running.result().status_code == 200
    assert (caller.balance, caller.held) == (18_000, 0)


def test_a_key_that_found_too_little_pays_after_a_top_up() -> None:
    caller, again = program(balance=10), key()
    assert caller.ask("/fixed", None, Idempotency_Key=again).status_code == 402
    give_prepaid(caller.account_id, 10_000)

    assert caller.ask("/fixed", None, Idempotency_Key=again).status_code == 200
    assert caller.balance == 10


def test_the_hold_of_a_call_under_way_never_expires() -> None:
    caller = program()
    paid_urls.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(caller.ask, "/slow")
        while paid_urls.runs["slow"] == 0:
            threading.Event().wait(0.01)
        held = caller.held
        release_expired()
        sweeps.sweep_payments()
        still_held = caller.held
        paid_urls.gate.set()

    assert (held, still_held) == (2_000, 2_000)
    assert running.result().status_code == 200
    assert (caller.balance, caller.held) == (18_000, 0)


def test_a_call_whose_process_died_gives_its_hold_back() -> None:
    caller = program(daily_cap_micro_usd=5_000)
    paid_urls.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(caller.ask, "/slow")
        while paid_urls.runs["slow"] == 0:
            threading.Event().wait(0.01)
        payment = Payment.objects.get(account_id=caller.account_id)
        Payment.objects.filter(pk=payment.pk).update(lease_until=timezone.now() - timezone.timedelta(seconds=5))
        sweeps.sweep_payments()
        paid_urls.gate.set()
        running.result()

    payment.refresh_from_db()
    assert (payment.state, payment.failure_code) == ("credited", "work_interrupted")
    assert (caller.balance, caller.held, caller.spent_today) == (20_000, 0, 0)
