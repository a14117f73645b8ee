"""Credit paid out on the chain: to its own wallet, once, only when it is final, never twice (rule R4)."""

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.db.utils import IntegrityError
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.attacks.tools import turn_chain_clock_past
from tests.factories.ledger import kinds_of_refund
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain, stranger
from tests.x402.purchasing import Member
from tests.x402.refunding import (
    FINAL_BLOCKS,
    FLOAT,
    USDC_ADDRESS,
    ask,
    carried,
    credit,
    finished,
    payable,
)
from x402.chain import tokens
from x402.models import Payment, Refund, RefundDay, Relayer
from x402.services import owed_refunds, refund_float, refunds, settler
from x402.services.refunds import RefundRefused, Wish

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.credit_urls")]


def test_credit_of_a_payment_that_was_reorganised_away_cannot_leave(
    new_buyer: Callable[[int], Buyer], chain: LocalChain
) -> None:
    buyer = new_buyer(1_000_000)
    snapshot = chain.call("evm_snapshot")
    buyer.buy("/failing")
    member = Member(buyer)
    assert settler.rest()
    chain.call("evm_revert", snapshot)
    chain.mine(FINAL_BLOCKS)

    response = ask(member)

    assert (response.status_code, response.json()["code"]) == (409, "credit_not_final")
    assert credit(member) == 2_000


def test_refunding_and_spending_at_once_never_give_more_than_the_notes_hold(final: Member, chain: LocalChain) -> None:
    before = chain.balance_of(final.buyer.address)
    proofs = [final.buyer.prove(terms_of(final.buyer.ask("/metered", {"n": n}))) for n in range(4)]

    def spend(number: int) -> int:
        try:
            buyer = Buyer(final.buyer.private_key, Client())
            answer = buyer.ask("/metered", {"n": number}, {"SIGN-IN-WITH-X": proofs[number]})
            return 700 if answer.status_code == 200 else 0
        finally:
            connection.close()

    def refund(_: int) -> int:
        try:
            answer = ask(final, 900)
            return 900 if answer.status_code == 202 else 0
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        spending = [pool.submit(spend, number) for number in range(4)]
        refunding = [pool.submit(refund, number) for number in range(4)]
        taken = sum(one.result() for one in (*spending, *refunding))

    assert taken <= 3_300
    assert credit(final) == 3_300 - taken
    for row in Refund.objects.filter(wallet=final.pair.wallet, state="sent"):
        assert finished(row.pk, chain).state == "paid"
    refunded = sum(one.result() for one in refunding)
    assert chain.balance_of(final.buyer.address) == before + refunded


def test_a_second_relayer_cannot_pay_a_refund_again(final: Member, chain: LocalChain) -> None:
    before = chain.balance_of(final.buyer.address)
    refund = carried(ask(final, 500).json()["refund_id"])
    calldata = tokens.transfer_with_authorization(refund_float.authorization_of(refund))
    chain.mine()

    chain.send_from(stranger(), USDC_ADDRESS, "0x" + calldata.hex())
    chain.mine()

    assert chain.balance_of(final.buyer.address) == before + 500
    assert finished(refund.pk, chain).state == "paid"
    assert chain.balance_of(final.buyer.address) == before + 500


@pytest.fixture
def relayer_away() -> Iterator[Callable[[], None]]:
    """The relayer's key is held by a process that does nothing; the function given brings it back."""
    lent = {"holder": "a process that is stopped", "lease_until": timezone.now() + timedelta(hours=1)}
    assert settler.rest()
    Relayer.objects.update(**lent)

    def come_back() -> None:
        Relayer.objects.filter(holder=lent["holder"]).update(lease_until=timezone.now())

    yield come_back
    come_back()


def test_a_refund_that_a_stranger_carries_is_booked_all_the_same(
    final: Member, chain: LocalChain, relayer_away: Callable[[], None]
) -> None:
    before = chain.balance_of(final.buyer.address)
    refund = Refund.objects.get(pk=ask(final, 500).json()["refund_id"])
    calldata = tokens.transfer_with_authorization(refund_float.authorization_of(refund))
    chain.send_from(stranger(), USDC_ADDRESS, "0x" + calldata.hex())
    chain.mine(FINAL_BLOCKS)

    refunds.advance(refund)

    assert (refund.state, chain.balance_of(final.buyer.address)) == ("paid", before + 500)


def test_a_refund_signed_before_the_key_was_changed_is_paid_all_the_same(
    final: Member, chain: LocalChain, settings: Settings, relayer_away: Callable[[], None]
) -> None:
    before = chain.balance_of(final.buyer.address)
    refund = Refund.objects.get(pk=ask(final, 500).json()["refund_id"])
    settings.LOA = {**settings.LOA, "REFUND_PRIVATE_KEY": "0x" + "77" * 32}

    relayer_away()
    refunds.advance(refund)

    assert finished(refund.pk, chain).state == "paid"
    assert chain.balance_of(final.buyer.address) == before + 500


def test_a_refund_the_chain_never_took_is_a_note_again_and_its_old_bytes_are_worth_nothing(
    final: Member, chain: LocalChain, settings: Settings, relayer_away: Callable[[], None]
) -> None:
    before, owed = chain.balance_of(final.buyer.address), payable()
    settings.LOA = {**settings.LOA, "REFUND_LIFETIME_SECONDS": 1}
    refund = Refund.objects.get(pk=ask(final, 500).json()["refund_id"])
    refunds.advance(refund)
    assert refund.state == "sent"

    turn_chain_clock_past(chain, refund.valid_before + 1)
    chain.mine(FINAL_BLOCKS)
    refunds.advance(refund)
    relayer_away()
    calldata = tokens.transfer_with_authorization(refund_float.authorization_of(refund))
    chain.send_from(stranger(), USDC_ADDRESS, "0x" + calldata.hex())
    chain.mine()

    assert (refund.state, refund.failure_code) == ("failed", "authorization_expired")
    assert (credit(final), payable()) == (3_300, owed)
    assert chain.balance_of(final.buyer.address) == before
    assert kinds_of_refund(refund.pk) == ["credit_note_refund_started", "credit_note_refund_failed"]
    assert ask(final, 3_300).status_code == 202, "what came back can be asked for again"


def test_an_empty_float_signs_nothing_and_the_refund_waits_for_a_top_up(final: Member, chain: LocalChain) -> None:
    chain.mint(FLOAT, 0)
    told = ask(final, 500).json()
    assert (told["state"], told["nonce"]) == ("started", "")
    assert credit(final) == 2_800

    chain.mint(FLOAT, 500)
    refunds.advance(Refund.objects.get(pk=told["refund_id"]))

    assert finished(told["refund_id"], chain).state == "paid"


def test_a_refund_the_float_cannot_pay_for_a_day_goes_back_to_its_note(final: Member, chain: LocalChain) -> None:
    chain.mint(FLOAT, 0)
    refund_id = ask(final, 500).json()["refund_id"]

    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        refunds.sweep()

    refund = Refund.objects.get(pk=refund_id)
    assert (refund.state, refund.failure_code, refund.nonce) == ("failed", "float_empty", "")
    assert credit(final) == 3_300


def test_the_limit_of_a_day_holds_for_all_wallets_together(
    final: Member, settings: Settings, chain: LocalChain
) -> None:
    RefundDay.objects.update(amount_micro_usdc=0)
    settings.LOA = {**settings.LOA, "REFUND_DAILY_LIMIT_MICRO_USDC": 1_000}

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda _: _asked_alone(final, 400), range(6)))

    assert sorted(statuses) == [202, 202, 503, 503, 503, 503]
    assert credit(final) == 3_300 - 800


def _asked_alone(member: Member, amount: int) -> int:
    try:
        return int(ask(member, amount).status_code)
    finally:
        connection.close()


def test_what_a_refund_pays_cannot_be_changed_nor_signed_again(final: Member) -> None:
    refund_id = ask(final, 500).json()["refund_id"]

    for change in ({"amount_micro_usdc": 999}, {"wallet": "0x" + "11" * 20}, {"nonce": "0x" + "00" * 32}):
        with pytest.raises(IntegrityError):
            Refund.objects.filter(pk=refund_id).update(**change)


def test_owed_credit_above_the_dust_is_paid_out_by_itself_and_ends_its_payment(
    final: Member, chain: LocalChain, settings: Settings
) -> None:
    settings.LOA = {**settings.LOA, "REFUND_DUST_MICRO_USDC": 1_500}
    before = chain.balance_of(final.buyer.address)

    owed_refunds.pay_out_owed(wallet=final.pair.wallet)

    [refund] = Refund.objects.filter(wallet=final.pair.wallet)
    assert (refund.cause, refund.amount_micro_usdc) == ("owed", 2_000)
    assert finished(refund.pk, chain).state == "paid"
    assert chain.balance_of(final.buyer.address) == before + 2_000
    assert owed_refunds.pay_out_owed(wallet=final.pair.wallet) == 0
    failed = Payment.objects.get(payer=final.pair.wallet, request_path="/failing")
    assert failed.state == "refunded"
    assert credit(final) == 1_300


def test_owed_credit_below_the_dust_stays_spendable(final: Member, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REFUND_DUST_MICRO_USDC": 2_001}

    assert owed_refunds.pay_out_owed(wallet=final.pair.wallet) == 0
    assert credit(final) == 3_300


def test_fifty_requests_at_once_refund_no_more_than_the_notes(final: Member, chain: LocalChain) -> None:
    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: _asked_alone(final, 1_000), range(50)))

    assert statuses.count(202) == 3
    assert credit(final) == 300


@pytest.mark.parametrize("stop_before", ["start", "send", "follow"])
def test_a_refund_left_at_any_step_is_finished_by_the_sweep(final: Member, chain: LocalChain, stop_before: str) -> None:
    wish = Wish(final.pair.wallet, final.pair.account_id, amount_micro_usdc=500, key=secrets.token_hex(16))
    before = chain.balance_of(final.buyer.address)
    refunds.refund_finality.mark_final(wallet=final.pair.wallet)
    refund, _ = refunds._store(wish)
    if stop_before != "start":
        refunds._start(refund)
    if stop_before == "follow":
        refunds.refund_carrying.send(refund)
    del refund

    refunds.sweep()

    [left] = Refund.objects.filter(wallet=final.pair.wallet)
    assert finished(left.pk, chain).state == "paid"
    assert (credit(final), chain.balance_of(final.buyer.address)) == (2_800, before + 500)


def test_a_refund_in_flight_is_409_and_a_refused_wish_leaves_the_day_as_it_was(final: Member) -> None:
    wish = Wish(
        final.pair.wallet, final.pair.account_id, amount_micro_usdc=500, key=secrets.token_hex(16), request_hash="h"
    )
    refunds.refund_finality.mark_final(wallet=final.pair.wallet)
    refunds._store(wish)

    with pytest.raises(RefundRefused) as refused:
        refunds.request(wish)

    assert refused.value.code == "idempotency_key_in_flight"
    assert json.dumps(refused.value.facts)
