"""Balance, history, payments and receipts show key payments, purchases and refunds, to their owner alone."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.services import api_keys
from accounts.services.api_keys import KeyTerms
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member, buy, new_key
from x402.services import refunds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.credit_urls")]


def with_key(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def member(new_buyer: Callable[[int], Buyer]) -> Member:
    """A wallet that bought a pack and whose key paid one call."""
    return Member(new_buyer(6_000_000))


@pytest.fixture
def secret(member: Member) -> str:
    buy(member.buyer, {"pack": 500}, key=new_key(), headers=member.bearer)
    secret = member.new_key()[1]
    assert with_key(secret).post("/metered", "{}", content_type="application/json").status_code == 200
    return secret


def test_the_balance_shows_notes_and_prepaid_credit(member: Member, secret: str) -> None:
    member.buyer.buy("/failing")

    own = member.get("/api/v1/credits/balance").json()
    by_key = with_key(secret).get("/api/v1/credits/balance").json()

    assert (own["spendable_micro_usdc"], own["refundable_micro_usdc"]) == ("2000", "0")
    assert (own["prepaid_micro_usd"], own["prepaid_held_micro_usd"]) == ("4999300", "0")
    assert (by_key["wallet"], by_key["spendable_micro_usdc"], by_key["credit_notes"]) == (None, "0", [])
    assert by_key["prepaid_micro_usd"] == "4999300"


def test_the_history_of_the_prepaid_balance_comes_in_pages(member: Member, secret: str) -> None:
    path = "/api/v1/credits/history?of=prepaid&limit=2"

    first = member.get(path).json()
    rest = with_key(secret).get(f"{path}&cursor={first['next_cursor']}").json()

    lines = first["prepaid_movements"] + rest["prepaid_movements"]
    assert [(line["kind"], line["amount_micro_usd"], line["balance_micro_usd"]) for line in lines] == [
        ("billing_commit", "1300", "4999300"),
        ("billing_reserve", "-2000", "4998000"),
        ("credit_mint", "5000000", "5000000"),
    ]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ["of=everything", "of=prepaid&limit=0", "of=prepaid&cursor=x", "cursor=-1", "limit=x"]
)
def test_an_odd_question_is_4xx(member: Member, query: str) -> None:
    assert member.get(f"/api/v1/credits/history?{query}").status_code in (400, 422)


def test_payments_by_key_are_listed_for_their_account_and_their_key(member: Member, secret: str) -> None:
    own = member.get("/api/v1/payments").json()["payments"]
    by_key = with_key(secret).get("/api/v1/payments").json()["payments"]

    assert [payment["method"] for payment in own] == ["api_key", "eip3009"]
    assert [payment["method"] for payment in by_key] == ["api_key"]
    assert by_key[0]["charged_micro_usdc"] == "700"


def test_payments_of_both_kinds_come_in_pages_without_gap_or_repetition(member: Member, secret: str) -> None:
    for number in range(3):
        with_key(secret).post("/metered", f'{{"n": {number}}}', content_type="application/json")
        member.buyer.buy("/metered", {"n": number})
    seen: list[str] = []
    cursor = ""
    while True:
        page = member.get(f"/api/v1/payments?limit=3&cursor={cursor}" if cursor else "/api/v1/payments?limit=3").json()
        seen += [payment["payment_id"] for payment in page["payments"]]
        cursor = page["next_cursor"] or ""
        if not cursor:
            break

    assert len(seen) == len(set(seen)) == 8


def test_a_receipt_of_a_key_payment_and_of_a_purchase_names_their_journals(member: Member, secret: str) -> None:
    by_key, bought = member.get("/api/v1/payments").json()["payments"]

    receipts = [member.get(f"/api/v1/payments/{one['payment_id']}/receipt").json() for one in (by_key, bought)]
    for_key = with_key(secret).get(f"/api/v1/payments/{by_key['payment_id']}/receipt")

    kinds = [[journal["kind"] for journal in receipt["journals"]] for receipt in receipts]
    assert kinds == [["billing_reserve", "billing_commit"], ["credit_mint", "state_change"]]
    assert for_key.status_code == 200
    assert with_key(secret).get(f"/api/v1/payments/{bought['payment_id']}/receipt").status_code == 401


def test_a_receipt_names_the_refunds_of_its_credit(member: Member, chain: LocalChain) -> None:
    chain.mint(refunds.refund_float.address(), 1_000_000)
    failed = member.buyer.buy("/failing")
    chain.mine(70)
    refund_id = member.post("/api/v1/credits/refund", {}, Idempotency_Key=new_key()).json()["refund_id"]

    receipt = member.get(f"/api/v1/payments/{failed['Loa-Payment-Id']}/receipt").json()

    assert [(one["refund_id"], one["amount_micro_usdc"]) for one in receipt["refunds"]] == [(refund_id, "2000")]


def test_another_account_sees_nothing_of_it(member: Member, secret: str, new_buyer: Callable[[int], Buyer]) -> None:
    other = Member(new_buyer(0))
    stranger_key = other.new_key()[1]
    by_key = member.get("/api/v1/payments").json()["payments"][0]["payment_id"]

    def see(path: str) -> list[Any]:
        return [other.get(path), with_key(stranger_key).get(path)]

    assert all(answer.json()["payments"] == [] for answer in see("/api/v1/payments"))
    assert all(answer.json()["prepaid_micro_usd"] == "0" for answer in see("/api/v1/credits/balance"))
    assert all(answer.json()["prepaid_movements"] == [] for answer in see("/api/v1/credits/history?of=prepaid"))
    assert all("charged_micro_usdc" not in answer.json() for answer in see(f"/api/v1/payments/{by_key}"))
    assert all(answer.status_code == 401 for answer in see(f"/api/v1/payments/{by_key}/receipt"))


def test_a_key_without_the_scope_read_sees_nothing(member: Member, secret: str) -> None:
    _, blind = api_keys.create(member.pair.account_id, created_by=member.pair.wallet, terms=KeyTerms(scopes=("pay",)))
    paths = ["/api/v1/payments", "/api/v1/credits/balance", "/api/v1/credits/history?of=prepaid"]

    answers = [with_key(blind).get(path) for path in paths]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "insufficient_scope")}


def test_notes_are_not_shown_to_a_key(member: Member, secret: str) -> None:
    answer = with_key(secret).get("/api/v1/credits/history")

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
