"""Asking for a refund over HTTP: what is answered, to whom, and that a refused wish leaves the credit where it is."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from billing.selectors.balances import balance_of
from tests.factories.ledger import kinds_of_refund
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member, new_key
from tests.x402.refunding import REFUND, USDC, ask, credit, finished, payable
from x402.models import Refund
from x402.services import refund_float

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.credit_urls")]


def test_all_refundable_credit_is_paid_to_its_wallet(final: Member, chain: LocalChain) -> None:
    before, owed = chain.balance_of(final.buyer.address), payable()

    response = ask(final)

    assert response.status_code == 202, response.content
    told = response.json()
    assert (told["state"], told["amount_micro_usdc"], told["wallet"]) == ("sent", "3300", final.pair.wallet)
    assert (credit(final), payable() - owed) == (0, 3_300)
    assert told["nonce"] == "0x" + refund_float.nonce_of(told["refund_id"]).hex()

    refund = finished(told["refund_id"], chain)

    assert (refund.state, chain.balance_of(final.buyer.address)) == ("paid", before + 3_300)
    assert payable() == owed
    assert kinds_of_refund(refund.pk) == ["credit_note_refund_started", "credit_note_refund_paid"]
    paid_from = refund_float.account_of(refund.network, refund.asset, paid_from=refund.paid_from)
    assert balance_of(paid_from, USDC) >= 3_300
    seen = final.get(f"{REFUND}s/{refund.pk}").json()
    assert (seen["state"], seen["is_final"], seen["transaction"]) == ("paid", True, refund.transaction_hash)


def test_part_of_the_credit_is_paid_and_the_rest_stays(final: Member, chain: LocalChain) -> None:
    before = chain.balance_of(final.buyer.address)

    refund = finished(ask(final, 500).json()["refund_id"], chain)

    assert (refund.state, credit(final)) == ("paid", 2_800)
    assert chain.balance_of(final.buyer.address) == before + 500


def test_credit_of_a_payment_that_is_not_final_cannot_leave(member: Member) -> None:
    response = ask(member)

    assert (response.status_code, response.json()["code"]) == (409, "credit_not_final")
    assert response.json()["not_final_micro_usdc"] == "3300"
    assert (credit(member), Refund.objects.filter(wallet=member.pair.wallet).count()) == (3_300, 0)


def test_the_same_key_is_the_same_refund(final: Member, chain: LocalChain) -> None:
    again = new_key()
    before = chain.balance_of(final.buyer.address)

    answers = [ask(final, 500, key=again) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["refund_id"] for answer in answers}) == 1
    finished(answers[0].json()["refund_id"], chain)
    assert (credit(final), chain.balance_of(final.buyer.address)) == (2_800, before + 500)


def test_the_same_key_for_another_amount_is_422(final: Member) -> None:
    again = new_key()
    ask(final, 500, key=again)

    response = ask(final, 600, key=again)

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert credit(final) == 2_800


def test_without_a_key_nothing_is_refunded(final: Member) -> None:
    response = final.post(REFUND, {})

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")
    assert credit(final) == 3_300


def test_more_than_there_is_is_402(final: Member) -> None:
    response = ask(final, 3_301)

    assert (response.status_code, response.json()["code"]) == (402, "insufficient_credit")
    assert response.json()["refundable_micro_usdc"] == "3300"
    assert credit(final) == 3_300


@pytest.mark.parametrize(
    "body",
    [
        {"amount_micro_usdc": "0"},
        {"amount_micro_usdc": "-1"},
        {"amount_micro_usdc": 5},
        {"amount_micro_usdc": "1e3"},
        {"amount_micro_usdc": "９"},
        {"amount_micro_usdc": "9" * 40},
        {"amount_micro_usdc": True},
        {"destination": "0x" + "11" * 20},
        {"wallet": "0x" + "11" * 20, "amount_micro_usdc": "5"},
        [],
        "all",
    ],
    ids=str,
)
def test_a_bad_body_is_422(new_buyer: Callable[[int], Buyer], body: Any) -> None:
    anyone = Member(new_buyer(0))

    response = anyone.post(REFUND, body, Idempotency_Key=new_key())

    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameters")
    assert Refund.objects.filter(wallet=anyone.pair.wallet).count() == 0


def test_an_api_key_or_nobody_refunds_nothing(final: Member) -> None:
    _, secret = final.new_key()
    headers = {"Idempotency-Key": new_key()}

    by_key = Client(headers=headers | {"Authorization": f"Bearer {secret}"}).post(
        REFUND, "{}", content_type="application/json"
    )
    by_nobody = Client(headers=headers).post(REFUND, "{}", content_type="application/json")

    assert (by_key.status_code, by_nobody.status_code) == (401, 401)
    assert credit(final) == 3_300


def test_another_wallet_sees_no_refund_of_this_one(final: Member, new_buyer: Callable[[int], Buyer]) -> None:
    other = Member(new_buyer(0))
    refund_id = ask(final, 500).json()["refund_id"]

    seen = other.get(f"{REFUND}s/{refund_id}")

    assert (seen.status_code, seen.json()["code"]) == (404, "refund_not_found")
    assert other.get(f"{REFUND}s").json() == {"refunds": [], "next_cursor": None}
    assert Client().get(f"{REFUND}s/{refund_id}").status_code == 401


def test_refunds_are_listed_in_pages(final: Member) -> None:
    made = [ask(final, 10).json()["refund_id"] for _ in range(3)]

    first = final.get(f"{REFUND}s?limit=2").json()
    rest = final.get(f"{REFUND}s?limit=2&cursor={first['next_cursor']}").json()

    assert [one["refund_id"] for one in first["refunds"] + rest["refunds"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert final.get(f"{REFUND}s?cursor=x").json()["code"] == "invalid_cursor"


def test_a_wallet_asks_for_no_more_refunds_a_minute_than_its_limit(final: Member, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"wallet": 4}}  # it has paid for two calls within this minute

    statuses = [ask(final, 10).status_code for _ in range(3)]

    assert statuses == [202, 202, 429]
    assert credit(final) == 3_280


def test_a_project_that_wraps_every_request_in_a_transaction_can_refund(final: Member) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert ask(final, 10).status_code == 202
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


def test_a_screened_wallet_is_neither_paid_nor_served(final: Member, settings: Settings, chain: LocalChain) -> None:
    settings.LOA = {**settings.LOA, "WALLET_SCREEN": "tests.x402.credit_urls.serves_nobody"}
    before = chain.balance_of(final.buyer.address)

    refused = ask(final, 500)
    unpaid = final.buyer.buy("/metered", {"n": 9})

    assert (refused.status_code, refused.json()["code"]) == (403, "wallet_not_served")
    assert (unpaid.status_code, unpaid.json()["code"]) == (403, "wallet_not_served")
    assert (credit(final), chain.balance_of(final.buyer.address)) == (3_300, before)


def test_a_known_payment_is_answered_whatever_the_screen_says_today(final: Member, settings: Settings) -> None:
    terms = terms_of(final.buyer.ask("/metered", {"n": 7}))
    header = {"PAYMENT-SIGNATURE": final.buyer.v2_header(terms)}
    first = final.buyer.ask("/metered", {"n": 7}, header)
    settings.LOA = {**settings.LOA, "WALLET_SCREEN": "tests.x402.credit_urls.serves_nobody"}

    again = final.buyer.ask("/metered", {"n": 7}, header)

    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)


def test_a_screen_that_fails_waves_nobody_through(final: Member, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "WALLET_SCREEN": "tests.x402.credit_urls.broken_screen"}

    response = ask(final, 500)

    assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
    assert credit(final) == 3_300


def test_without_a_refund_key_refunds_are_stopped(final: Member, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REFUND_PRIVATE_KEY": ""}

    response = ask(final, 500)

    assert (response.status_code, response.json()["code"]) == (503, "refunds_stopped")
    assert credit(final) == 3_300
