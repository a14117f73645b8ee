"""What cannot be booked now is stored with a dead letter in one transaction; nothing held is lost meanwhile."""

import json

import pytest

from billing.domain import accounts, errors
from billing.domain.journal import JournalKind
from billing.services import corrections, finalization
from tests.factories import ledger
from tests.factories.ledger import PaidCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


@pytest.fixture
def deferred():
    """A served payment whose booking the ledger refused, because the request named a hold it does not have."""
    call = PaidCall(amount=2_000).settle()
    with pytest.raises(errors.FinalizeDeferred):
        finalization.finalize(payment=call.request(700, held_micro_usdc=1_999))
    return call


def _payload(call):
    letter = ledger.one(
        "SELECT payload::text, reason, state FROM billing.dead_letter WHERE entry_id = %s", call.entry_id
    )
    assert letter[1:] == ("posting_refused", "pending")
    return json.loads(letter[0])


def test_a_refused_booking_serves_the_payment_and_keeps_cost_and_hold(deferred):
    payload = _payload(deferred)

    assert (payload["schema_version"], payload["cost_micro_usdc"]) == (1, "700")
    assert deferred.row() == ("served", 1)
    assert ledger.entry_state(deferred.entry_id) == "FINALIZE_PENDING"
    assert ledger.balance(accounts.held(deferred.account_id)) == 2_000
    assert ledger.one("SELECT cost_amount FROM billing.billing_entry WHERE id = %s", deferred.entry_id) == (700,)


def test_a_retry_books_it_once(deferred):
    payload = _payload(deferred)
    with pytest.raises(errors.PostingRefused):
        finalization.retry_finalize(payload)
    payload["held_micro_usdc"] = "2000"

    first = finalization.retry_finalize(payload)
    again = finalization.retry_finalize(payload)

    assert (first.charged_micro_usdc, first.credit_note_micro_usdc) == (700, 1_300)
    assert again == first
    assert ledger.entry_state(deferred.entry_id) == "FINALIZE_ACKED"
    assert ledger.notes_of(deferred.wallet) == [("change", 1_300, 1_300)]


def test_a_poisoned_booking_can_be_voided_by_two_people(deferred):
    finalization.fail_finalize(entry_id=deferred.entry_id, reason="poisoned")
    approval_id = corrections.request_approval(
        kind=JournalKind.BILLING_VOID,
        target=deferred.entry_id,
        denomination=ledger.USDC,
        amount=2_000,
        destination=deferred.wallet,
        reason="cannot be booked",
        maker="ada",
    )
    corrections.grant_approval(approval_id=approval_id, checker="bea")

    corrections.void_unbooked(entry_id=deferred.entry_id, reason="cannot be booked", approval_id=approval_id)

    assert ledger.entry_state(deferred.entry_id) == "VOIDED"
    assert ledger.balance(accounts.held(deferred.account_id)) == 0
    assert ledger.notes_of(deferred.wallet) == [("owed", 2_000, 2_000)]


def test_a_payment_that_was_taken_over_is_not_deferred_either():
    call = PaidCall(amount=2_000).settle()
    ledger.rows("UPDATE billing_test_payment SET attempt = 2 WHERE id = %s RETURNING id", call.payment_id)

    with pytest.raises(errors.LostLease):
        finalization.finalize(payment=call.request(700, held_micro_usdc=1_999))

    assert ledger.rows("SELECT id FROM billing.dead_letter WHERE entry_id = %s", call.entry_id) == []
    assert ledger.entry_state(call.entry_id) == "RESERVE_HELD"
