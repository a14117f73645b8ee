"""From money on chain to a served payment: what the ledger holds at each step."""

import pytest

from billing.domain import accounts
from billing.domain.errors import LostLease
from billing.services import settlements
from billing.services.credit_spending import hold_credit
from billing.services.finalization import credit_owed, finalize
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


def test_a_settled_payment_is_held_for_its_account_and_its_row_is_serving():
    call = PaidCall(amount=2_000).settle()

    assert ledger.balance(accounts.held(call.account_id)) == 2_000
    assert ledger.entry_state(call.entry_id) == "RESERVE_HELD"
    assert call.row() == ("serving", 1)


def test_the_same_log_booked_twice_moves_money_once():
    call = PaidCall(amount=2_000).settle()

    [again] = settlements.book_settlements([call.settled_log()])

    assert again.status == "exists"
    assert ledger.balance(accounts.held(call.account_id)) == 2_000


def test_finalizing_charges_the_cost_and_gives_the_rest_back_as_change():
    call = PaidCall(amount=2_000).settle()

    booked = finalize(payment=call.request(700))

    assert (booked.charged_micro_usdc, booked.overrun_micro_usdc, booked.credit_note_micro_usdc) == (700, 0, 1_300)
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
    assert ledger.balance(accounts.credit_notes(call.wallet)) == 1_300
    assert ledger.balance(accounts.held(call.account_id)) == 0
    assert ledger.entry_state(call.entry_id) == "FINALIZE_ACKED"
    assert call.row() == ("served", 1)
    assert ledger.kinds_of(call.entry_id) == ["x402_settled", "billing_commit"]


def test_finalizing_again_gives_the_first_result():
    call = PaidCall(amount=2_000).settle()
    first = finalize(payment=call.request(700))

    again = finalize(payment=call.request(700))

    assert again == first
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def test_changed_settings_make_no_other_body(settings):
    call = PaidCall(amount=2_000).settle()
    first = finalize(payment=call.request(700))

    settings.LOA = {**settings.LOA, "CHANGE_LIFETIME_SECONDS": 60}

    assert finalize(payment=call.request(700)) == first


def test_a_second_process_cannot_finalize_a_payment_it_no_longer_owns():
    call = PaidCall(amount=2_000).settle()
    ledger.rows("UPDATE billing_test_payment SET attempt = 2 WHERE id = %s RETURNING id", call.payment_id)

    with pytest.raises(LostLease):
        finalize(payment=call.request(700, attempt=1))

    assert ledger.kinds_of(call.entry_id) == ["x402_settled"]
    assert call.row() == ("serving", 2)
    assert ledger.notes_of(call.wallet) == []


def test_a_cost_above_the_hold_charges_the_hold_and_books_the_rest_as_our_expense():
    call = PaidCall(amount=2_000).settle()
    before = ledger.balance(accounts.OVERRUNS)

    booked = finalize(payment=call.request(2_750))

    assert (booked.charged_micro_usdc, booked.overrun_micro_usdc, booked.credit_note_id) == (2_000, 750, None)
    assert ledger.balance(accounts.OVERRUNS) <= before - 750
    assert ledger.notes_of(call.wallet) == []


def test_failed_work_becomes_a_note_that_is_owed_and_never_expires():
    call = PaidCall(amount=2_000).settle()

    booked = credit_owed(payment=call.request(0, to_state="credited"), reason="paid_work_failed")

    assert booked.credit_note_micro_usdc == 2_000
    assert ledger.notes_of(call.wallet) == [("owed", 2_000, 2_000)]
    assert ledger.one("SELECT expires_at FROM billing.credit_note WHERE id = %s", booked.credit_note_id) == (None,)
    assert ledger.entry_state(call.entry_id) == "RELEASED"
    assert call.row() == ("credited", 1)


def test_exactly_one_of_answer_and_credit_exists():
    call = PaidCall(amount=2_000).settle()
    finalize(payment=call.request(2_000))

    with pytest.raises(LostLease):
        credit_owed(payment=call.request(0, to_state="credited"), reason="late")

    assert ledger.notes_of(call.wallet) == []


def test_money_that_comes_too_late_is_owed_to_its_payer():
    call = PaidCall(amount=2_000).insert(state="dead")
    [refused] = settlements.book_settlements([call.settled_log()])

    booked = settlements.book_late_settlement(call.settled_log())

    assert refused.status == "wrong_state"
    assert booked.status == "ok"
    assert ledger.notes_of(call.wallet) == [("owed", 2_000, 2_000)]


def test_credit_is_spent_oldest_first_and_the_rest_returns_to_the_note_it_came_from():
    call = PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))
    entry_id = new_id("ent")
    spend = {
        "wallet": call.wallet,
        "account_id": call.account_id,
        "denomination": ledger.USDC,
        "amount_micro_usdc": 1_000,
        "spend_key": "tab-1",
        "entry_id": entry_id,
        "correlation_id": "",
        "transition": None,
    }

    held = hold_credit(**spend)
    again = hold_credit(**spend)

    assert ledger.statuses([held, again]) == ["ok", "exists"]
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 300)]

    second = PaidCall(amount=1_000, entry_id=entry_id, account_id=call.account_id, wallet=call.wallet).insert("serving")
    booked = finalize(payment=second.request(400))

    assert booked.credit_note_micro_usdc == 600
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 900)]
    assert ledger.balance(accounts.credit_notes(call.wallet)) == 900


def test_notes_that_cannot_pay_all_of_it_pay_nothing():
    call = PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))

    result = hold_credit(
        wallet=call.wallet,
        account_id=call.account_id,
        denomination=ledger.USDC,
        amount_micro_usdc=1_301,
        spend_key="tab-1",
        entry_id=new_id("ent"),
        correlation_id="",
        transition=None,
    )

    assert result.status == "insufficient_funds"
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
