"""Corrections need a second person, for exactly what was asked, once (rule R34); refunds leave the notes first (R4)."""

import pytest

from billing.domain import accounts, errors
from billing.domain.journal import JournalKind
from billing.services import corrections, finalization, refunds
from billing.services.append_journal import append
from billing.services.expire_credit_notes import expire_credit_notes
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall, suspense_journal, unique

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


def _served(amount=2_000, cost=700):
    call = PaidCall(amount=amount).settle()
    finalization.finalize(payment=call.request(cost))
    return call


def _approval(call, amount, *, checker="bea", **changes):
    asked = {
        "kind": JournalKind.BILLING_VOID,
        "target": call.entry_id,
        "denomination": ledger.USDC,
        "amount": amount,
        "destination": call.wallet,
        "reason": "wrong answer",
        "maker": "ada",
    }
    approval_id = corrections.request_approval(**(asked | changes))
    if checker:
        corrections.grant_approval(approval_id=approval_id, checker=checker)
    return approval_id


def test_an_approved_void_gives_revenue_back_as_an_owed_note():
    call = _served(cost=700)

    corrections.void_entry(entry_id=call.entry_id, amount=700, reason="wrong answer", approval_id=_approval(call, 700))

    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300), ("owed", 700, 700)]
    assert ledger.one("SELECT revenue_remaining FROM billing.billing_entry WHERE id = %s", call.entry_id) == (0,)


def test_a_void_gives_at_most_the_revenue_that_is_left():
    call = _served(cost=700)

    with pytest.raises(errors.InsufficientFunds):
        corrections.void_entry(entry_id=call.entry_id, amount=701, reason="x", approval_id=_approval(call, 701))

    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def test_nobody_approves_what_they_asked_for():
    call = _served()

    with pytest.raises(errors.ApprovalInvalid) as refused:
        _approval(call, 700, checker="ada")

    assert refused.value.facts["reason"] == "self_approval"


@pytest.mark.parametrize("case", ["ungranted", "other amount", "other destination", "other kind", "unknown", "used"])
def test_an_approval_allows_exactly_one_act(case):
    call = _served(cost=700)
    approval_id = {
        "ungranted": lambda: _approval(call, 100, checker=None),
        "other amount": lambda: _approval(call, 99),
        "other destination": lambda: _approval(call, 100, destination=ledger.new_wallet()),
        "other kind": lambda: _approval(call, 100, kind=JournalKind.MANUAL_CREDIT),
        "unknown": lambda: "apr_nobody_gave",
        "used": lambda: _approval(call, 100),
    }[case]()
    if case == "used":
        corrections.void_entry(entry_id=call.entry_id, amount=100, reason="first", approval_id=approval_id)
    before = ledger.notes_of(call.wallet)

    with pytest.raises((errors.ApprovalInvalid, errors.KeyReused)):
        corrections.void_entry(entry_id=call.entry_id, amount=100, reason="again", approval_id=approval_id)

    assert ledger.notes_of(call.wallet) == before


def test_an_approval_for_a_target_that_changed_since_is_void():
    call = _served(cost=700)
    first, second = _approval(call, 100), _approval(call, 100)
    corrections.void_entry(entry_id=call.entry_id, amount=100, reason="x", approval_id=first)

    with pytest.raises(errors.ApprovalInvalid):
        corrections.void_entry(entry_id=call.entry_id, amount=100, reason="x", approval_id=second)


def test_a_journal_is_reversed_once_posting_by_posting():
    [original] = append([suspense_journal(50)])
    before = ledger.balance(accounts.SUSPENSE)
    asked = {
        "kind": JournalKind.REVERSAL,
        "target": original.journal_id,
        "denomination": ledger.USDC,
        "amount": 50,
        "destination": "",
        "reason": "twice",
        "maker": "ada",
    }
    approvals = [corrections.request_approval(**asked) for _ in range(2)]
    for approval_id in approvals:
        corrections.grant_approval(approval_id=approval_id, checker="bea")

    results = [
        corrections.reverse_journal(journal_id=original.journal_id, reason="twice", approval_id=approval_id)
        for approval_id in approvals[:1]
    ]
    with pytest.raises(errors.Refused):
        corrections.reverse_journal(journal_id=original.journal_id, reason="twice", approval_id=approvals[1])

    assert ledger.statuses(results) == ["ok"]
    assert ledger.balance(accounts.SUSPENSE) == before - 50


def test_refunds_just_under_the_limit_add_up_to_it():
    call = PaidCall(amount=1_500_000_000).settle()
    finalization.credit_owed(payment=call.request(0, to_state="credited"), reason="failed")
    refunds.mark_refundable(sources=[call.payment_id])
    refund = {"wallet": call.wallet, "denomination": ledger.USDC}

    refunds.start_refund(refund_id=new_id("ref"), amount_micro_usdc=600_000_000, **refund)
    with pytest.raises(errors.ApprovalRequired) as refused:
        refunds.start_refund(refund_id=new_id("ref"), amount_micro_usdc=400_000_001, **refund)
    refunds.start_refund(refund_id=new_id("ref"), amount_micro_usdc=400_000_000, **refund)

    assert (refused.value.facts["used"], refused.value.facts["cap"]) == ("600000000", "1000000000")
    assert ledger.notes_of(call.wallet) == [("owed", 1_500_000_000, 500_000_000)]


def test_a_note_issued_after_its_payment_was_final_is_refundable_once_that_is_said_again():
    call = _served(amount=700, cost=700)
    refunds.mark_refundable(sources=[call.payment_id])
    corrections.void_entry(entry_id=call.entry_id, amount=700, reason="wrong answer", approval_id=_approval(call, 700))
    refund = {"wallet": call.wallet, "denomination": ledger.USDC, "amount_micro_usdc": 700}

    with pytest.raises(errors.InsufficientFunds):
        refunds.start_refund(refund_id=new_id("ref"), **refund)
    refunds.mark_refundable(sources=[call.payment_id])
    refunds.start_refund(refund_id=new_id("ref"), **refund)

    assert ledger.notes_of(call.wallet) == [("owed", 700, 0)]


def test_a_refund_ends_once():
    call = PaidCall(amount=500).settle()
    finalization.credit_owed(payment=call.request(0, to_state="credited"), reason="failed")
    refunds.mark_refundable(sources=[call.payment_id])
    refund = {"refund_id": new_id("ref"), "denomination": ledger.USDC, "amount_micro_usdc": 500}
    refunds.start_refund(wallet=call.wallet, **refund)
    refunds.fail_refund(wallet=call.wallet, **refund)

    with pytest.raises(errors.KeyReused):
        refunds.confirm_refund(paid_from=ledger.TREASURY, tx_hash="0x1", log_index=0, **refund)

    assert ledger.notes_of(call.wallet) == [("owed", 500, 0), ("owed", 500, 500)]


def test_change_that_expired_is_income_and_what_is_owed_never_is(settings):
    settings.LOA = {**settings.LOA, "CHANGE_LIFETIME_SECONDS": 0}
    call = _served(cost=700)
    owed = PaidCall(amount=900, wallet=call.wallet, account_id=call.account_id).settle()
    finalization.credit_owed(payment=owed.request(0, to_state="credited"), reason="failed")

    while expire_credit_notes():
        pass

    assert ledger.notes_of(call.wallet) == [("change", 1_300, 0), ("owed", 900, 900)]
    assert ledger.balance(accounts.credit_notes(call.wallet)) == 900


def test_an_expired_note_pays_nothing_even_before_the_sweep(settings):
    from billing.services.credit_spending import hold_credit

    settings.LOA = {**settings.LOA, "CHANGE_LIFETIME_SECONDS": 0}
    call = _served(cost=700)

    result = hold_credit(
        wallet=call.wallet,
        account_id=call.account_id,
        denomination=ledger.USDC,
        amount_micro_usdc=1,
        spend_key=unique(),
        entry_id=new_id("ent"),
        correlation_id="",
        transition=None,
    )

    assert result.status == "insufficient_funds"
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def test_change_above_a_wallets_cap_is_a_refund_due_and_not_a_dead_letter():
    call = PaidCall(amount=accounts.MAX_CREDIT_BALANCE).settle()
    finalization.credit_owed(payment=call.request(0, to_state="credited"), reason="failed")
    more = PaidCall(amount=2_000, wallet=call.wallet, account_id=call.account_id).settle()

    booked = finalization.finalize(payment=more.request(700))

    assert (booked.credit_note_id, booked.refund_due_micro_usdc) == (None, 1_300)
    assert ledger.balance(accounts.credit_notes(call.wallet)) == accounts.MAX_CREDIT_BALANCE
    assert more.row() == ("served", 1)
