"""Buying prepaid credit by x402: minted with its settlement, for one account, once per Idempotency-Key."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.utils import IntegrityError
from django.test import Client
from django.utils import timezone

from accounts.services.account_of_wallet import account_id_of_wallet
from billing.domain import accounts
from billing.models import OutboxEvent
from billing.selectors import credit_notes, journals
from billing.selectors.balances import balance_of
from billing.services import outbox
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import PURCHASE, Member, buy, new_key, prepaid_of
from x402.models import Payment
from x402.services import ledger_checks, sweeps

pytestmark = pytest.mark.django_db(transaction=True)

USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


@pytest.fixture
def rich(new_buyer: Callable[[int], Buyer]) -> Buyer:
    return new_buyer(50_000_000)


@pytest.fixture
def member(rich: Buyer) -> Member:
    return Member(rich)


def test_a_pack_is_credited_to_who_is_signed_in_in_the_journal_that_books_the_money(
    member: Member, chain: LocalChain
) -> None:
    exchange = accounts.exchange(source=USDC, target=accounts.PREPAID)
    opened = balance_of(exchange, USDC), balance_of(exchange, accounts.PREPAID)

    response = buy(member.buyer, {"pack": 500}, key=new_key(), headers=member.bearer)

    assert response.status_code == 200, response.content
    payment = Payment.objects.get(pk=response["Loa-Payment-Id"])
    assert response.json() == {
        "payment_id": payment.pk,
        "status": "minted",
        "pack": 500,
        "credited_micro_usd": "5000000",
        "paid_micro_usdc": "5000000",
        "transaction": payment.transaction_hash,
    }
    assert (member.prepaid, chain.balance_of(member.buyer.address)) == (5_000_000, 45_000_000)
    assert [journal.kind for journal in journals.journals_of(correlation_id=payment.correlation_id)] == [
        "credit_mint",
        "state_change",
    ]
    closed = balance_of(exchange, USDC), balance_of(exchange, accounts.PREPAID)
    assert (closed[0] - opened[0], closed[1] - opened[1]) == (5_000_000, -5_000_000)
    assert (payment.state, payment.charged_micro_usdc) == ("served", 5_000_000)
    assert credit_notes.spendable_credit_of(member.buyer.address, USDC) == 0


def test_bought_credit_pays_a_call_by_key(member: Member) -> None:
    buy(member.buyer, {"pack": 500}, key=new_key(), headers=member.bearer)
    _, secret = member.new_key()

    response = Client(headers={"Authorization": f"Bearer {secret}"}).post(
        "/api/v1/x402/invoke", '{"prompt": "hi", "max_tokens": 5}', content_type="application/json"
    )

    assert response.status_code == 200, response.content
    charged = int(receipt_of(response)["extensions"]["loa"]["charged_micro_usdc"])
    assert charged > 0
    assert member.prepaid == 5_000_000 - charged


def test_a_purchase_is_told_to_webhooks_as_a_settled_payment(member: Member) -> None:
    response = buy(member.buyer, {"pack": 500}, key=new_key(), headers=member.bearer)
    payment_id = receipt_of(response)["extensions"]["loa"]["payment_id"]

    while outbox.relay_journals():
        pass

    told = OutboxEvent.objects.filter(type="payment.settled", payload__payment_id=payment_id)
    [event] = [one.payload for one in told]
    assert (event["amount"], event["denomination"]) == ("5000000", USDC)


def test_a_named_key_credits_its_account_whoever_pays(member: Member, new_buyer: Callable[[int], Buyer]) -> None:
    key_id, _ = member.new_key()
    stranger = new_buyer(5_000_000)

    response = buy(stranger, {"pack": 500, "key_id": key_id}, key=new_key())

    assert response.status_code == 200, response.content
    assert member.prepaid == 5_000_000
    assert member.pair.account_id not in response.content.decode()
    assert prepaid_of(account_id_of_wallet(stranger.address)) == 0


def test_nobody_signed_in_and_no_key_named_credits_the_account_of_the_paying_wallet(rich: Buyer) -> None:
    assert buy(rich, {"pack": 1000}, key=new_key()).status_code == 200
    assert prepaid_of(account_id_of_wallet(rich.address)) == 10_000_000


def test_a_second_payment_under_the_same_key_is_not_taken(member: Member, chain: LocalChain) -> None:
    again = new_key()
    sent = member.bearer | {"Idempotency-Key": again}
    first_terms, second_terms = (terms_of(member.buyer.ask(PURCHASE, {"pack": 500}, sent)) for _ in range(2))
    first = member.buyer.ask(PURCHASE, {"pack": 500}, sent | {"PAYMENT-SIGNATURE": member.buyer.v2_header(first_terms)})

    second = member.buyer.ask(
        PURCHASE, {"pack": 500}, sent | {"PAYMENT-SIGNATURE": member.buyer.v2_header(second_terms)}
    )
    unpaid = member.buyer.ask(PURCHASE, {"pack": 500}, sent)

    assert (first.status_code, second.status_code, unpaid.status_code) == (200, 200, 200)
    assert first.content == second.content == unpaid.content
    assert (member.prepaid, chain.balance_of(member.buyer.address)) == (5_000_000, 45_000_000)


def test_two_payments_at_once_under_one_key_buy_once(member: Member, chain: LocalChain) -> None:
    sent = member.bearer | {"Idempotency-Key": new_key()}
    headers = [member.buyer.v2_header(terms_of(member.buyer.ask(PURCHASE, {"pack": 500}, sent))) for _ in range(6)]

    def purchase(header: str) -> Any:
        try:
            return Buyer(member.buyer.private_key, Client()).ask(
                PURCHASE, {"pack": 500}, sent | {"PAYMENT-SIGNATURE": header}
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(purchase, headers))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}
    assert (member.prepaid, chain.balance_of(member.buyer.address)) == (5_000_000, 45_000_000)
    assert Payment.objects.filter(account_id=member.pair.account_id).count() == 1


def test_the_same_key_for_another_pack_is_422(member: Member, chain: LocalChain) -> None:
    again = new_key()
    buy(member.buyer, {"pack": 500}, key=again, headers=member.bearer)

    response = member.buyer.ask(PURCHASE, {"pack": 1000}, member.bearer | {"Idempotency-Key": again})

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert chain.balance_of(member.buyer.address) == 45_000_000


def test_two_buyers_may_use_the_same_key(member: Member, new_buyer: Callable[[int], Buyer]) -> None:
    other, shared = Member(new_buyer(5_000_000)), new_key()

    for one in (member, other):
        assert buy(one.buyer, {"pack": 500}, key=shared, headers=one.bearer).status_code == 200

    assert (member.prepaid, other.prepaid) == (5_000_000, 5_000_000)


def test_without_an_idempotency_key_a_purchase_is_400(member: Member) -> None:
    response = member.buyer.ask(PURCHASE, {"pack": 500}, member.bearer)

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")


def test_an_api_key_cannot_buy(member: Member) -> None:
    _, secret = member.new_key()
    bearer = {"Authorization": f"Bearer {secret}", "Idempotency-Key": new_key()}

    response = member.buyer.ask(PURCHASE, {"pack": 500}, bearer)
    both = member.buyer.ask(PURCHASE, {"pack": 500}, bearer | {"PAYMENT-SIGNATURE": "e30="})

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (both.status_code, both.json()["code"]) == (400, "ambiguous_payment")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pack": 1},
        {"pack": "500"},
        {"pack": True},
        {"pack": 500.5},
        {"pack": 10**30},
        {"pack": -500},
        {"pack": None},
        {"pack": 500, "key_id": 7},
        {"pack": 500, "key_id": "key_unknown"},
        {"pack": 500, "key_id": "\u0000"},
        {"pack": 500, "account_id": "acc_of_someone_else"},
        [500],
        "500",
    ],
    ids=str,
)
def test_a_bad_order_is_422_before_any_price_is_named(member: Member, body: Any) -> None:
    response = member.post(PURCHASE, body, Idempotency_Key=new_key())

    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameters")
    assert not response.has_header("PAYMENT-REQUIRED")


def test_other_methods_are_405() -> None:
    response = Client().get(PURCHASE)

    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")


def test_credit_notes_do_not_buy_prepaid_credit(member: Member) -> None:
    sent = member.bearer | {"Idempotency-Key": new_key()}

    challenge = member.buyer.ask(PURCHASE, {"pack": 500}, sent)

    assert challenge.status_code == 402
    assert terms_of(challenge)["accepts"][0]["amount"] == "5000000"


def test_a_purchase_whose_buyer_left_is_minted_and_closed_by_the_sweep(member: Member) -> None:
    again = new_key()
    sent = member.bearer | {"Idempotency-Key": again}
    response = buy(member.buyer, {"pack": 500}, key=again, headers=member.bearer)
    answered = Payment.objects.get(pk=response["Loa-Payment-Id"])
    left = Member(member.buyer)
    gate = threading.Event()

    def leave() -> None:
        terms = terms_of(left.buyer.ask(PURCHASE, {"pack": 1000}, left.bearer | {"Idempotency-Key": new_key()}))
        gate.wait(0.01)
        left.buyer.ask(
            PURCHASE,
            {"pack": 1000},
            left.bearer | {"Idempotency-Key": new_key(), "PAYMENT-SIGNATURE": left.buyer.v2_header(terms)},
        )

    leave()
    assert left.prepaid == 15_000_000
    assert sweeps.sweep_payments().credited_unserved == 0
    with connection.cursor() as cursor:
        result = ledger_checks.check_payments_have_journals(cursor)
    assert result.finding is None, result.finding
    assert member.buyer.ask(PURCHASE, {"pack": 500}, sent)["Loa-Payment-Id"] == answered.pk


def test_what_a_payment_buys_cannot_be_changed_afterwards(member: Member) -> None:
    response = buy(member.buyer, {"pack": 500}, key=new_key(), headers=member.bearer)

    with pytest.raises(IntegrityError, match="cannot change"):
        Payment.objects.filter(pk=response["Loa-Payment-Id"]).update(minted_micro_usd=10**12, updated_at=timezone.now())
