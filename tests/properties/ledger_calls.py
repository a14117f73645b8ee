"""The model's calls on the real ledger, and the real books in the model's form."""

from collections import Counter
from typing import Any

from django.conf import settings

from billing.domain import accounts, errors
from billing.domain.accounts import PREPAID
from billing.domain.journal import JournalKind
from billing.domain.money import MicroUSD, MicroUSDC
from billing.services import corrections, events, finalization, refunds, reservations, settlements
from billing.services.credit_spending import hold_credit
from billing.services.expire_credit_notes import expire_credit_notes
from tests.factories import ledger
from tests.factories.ledger import TREASURY, USDC
from tests.properties import ledger_operations as asked
from tests.properties.ledger_model import EXCHANGE, Model
from tests.properties.ledger_operations import Operation

SYSTEM_ACCOUNTS = (
    TREASURY,
    EXCHANGE,
    accounts.REVENUE,
    accounts.OVERRUNS,
    accounts.REFUNDS_PAYABLE,
    accounts.CREDIT_NOTES_EXPIRED,
)
WEEK_SECONDS = 7 * 24 * 3600


def change_lives(seconds: int) -> None:
    """From now on, in this process, change that is issued expires after so long."""
    settings.LOA = {**settings.LOA, "CHANGE_LIFETIME_SECONDS": seconds}


def answer_to(operation: Operation) -> Any:
    """What the ledger answers: a status, what was charged and given back, or the code of its refusal."""
    try:
        return CALLS[type(operation)](operation)
    except errors.BillingError as error:
        return error.code


def _mint(call: asked.Mint) -> str:
    return events.mint_credit(
        key=call.key,
        treasury=TREASURY,
        token=USDC,
        account_id=call.owner.account_id,
        paid=MicroUSDC(call.amount),
        minted=MicroUSD(call.amount),
    ).status.value


def _reserve(call: asked.Reserve) -> str:
    return reservations.reserve(
        entry_id=call.entry_id,
        account_id=call.owner.account_id,
        amount_micro_usd=call.amount,
        correlation_id="",
        hold_seconds=call.hold_seconds,
    ).status.value


def _commit(call: asked.Commit) -> str:
    return reservations.commit(
        entry_id=call.entry_id,
        account_id=call.owner.account_id,
        held_micro_usd=call.held,
        cost_micro_usd=call.cost,
        correlation_id="",
    ).status.value


def _release(call: asked.Release) -> str:
    return reservations.release(
        entry_id=call.entry_id,
        account_id=call.owner.account_id,
        held_micro_usd=call.held,
        correlation_id="",
        reason=call.reason,
    ).status.value


def _settle(call: asked.Settle) -> str:
    [result] = settlements.book_settlements([call.call.settled_log()])
    return result.status.value


def _finalize(call: asked.Finalize) -> tuple[Any, ...]:
    done = finalization.finalize(payment=call.call.request(call.cost))
    return ("served", done.charged_micro_usdc, done.overrun_micro_usdc, done.credit_note_micro_usdc)


def _owe(call: asked.Owe) -> tuple[Any, ...]:
    done = finalization.credit_owed(payment=call.call.request(0, to_state="credited"), reason=call.reason)
    return ("credited", done.credit_note_micro_usdc)


def _spend(call: asked.Spend) -> str:
    paid = call.call
    return hold_credit(
        wallet=paid.wallet,
        account_id=paid.account_id,
        denomination=USDC,
        amount_micro_usdc=paid.amount,
        spend_key=call.spend_key,
        entry_id=paid.entry_id,
        correlation_id="",
        transition=None,
    ).status.value


def _mark_final(call: asked.MarkFinal) -> str:
    return refunds.mark_refundable(sources=[call.source]).status.value


def _start_refund(call: asked.StartRefund) -> str:
    return refunds.start_refund(
        refund_id=call.refund_id, wallet=call.owner.wallet, denomination=USDC, amount_micro_usdc=call.amount
    ).status.value


def _end_refund(call: asked.EndRefund) -> str:
    refund: dict[str, Any] = {
        "refund_id": call.refund_id,
        "denomination": USDC,
        "amount_micro_usdc": call.amount,
    }
    if call.is_paid:
        return refunds.confirm_refund(paid_from=TREASURY, tx_hash="0x1", log_index=1, **refund).status.value
    return refunds.fail_refund(wallet=call.owner.wallet, **refund).status.value


def _void(call: asked.Void) -> str:
    return corrections.void_entry(
        entry_id=call.entry_id, amount=call.amount, reason="wrong answer", approval_id=call.approval_id
    ).status.value


def _sweep_holds(_call: asked.SweepHolds) -> str:
    reservations.release_expired()
    return "swept"


def _sweep_notes(_call: asked.SweepNotes) -> str:
    expire_credit_notes()
    return "swept"


CALLS: dict[type[Operation], Any] = {
    asked.Mint: _mint,
    asked.Reserve: _reserve,
    asked.Commit: _commit,
    asked.Release: _release,
    asked.Settle: _settle,
    asked.Finalize: _finalize,
    asked.Owe: _owe,
    asked.Spend: _spend,
    asked.MarkFinal: _mark_final,
    asked.StartRefund: _start_refund,
    asked.EndRefund: _end_refund,
    asked.Void: _void,
    asked.SweepHolds: _sweep_holds,
    asked.SweepNotes: _sweep_notes,
}


def approved_void(books: Model, entry_id: str, amount: int) -> str:
    """The id of a granted approval to void so much of an entry as it is now."""
    entry = books.entries[entry_id]
    approval_id = corrections.request_approval(
        kind=JournalKind.BILLING_VOID,
        target=entry_id,
        denomination=PREPAID if entry.funding == "prepaid" else USDC,
        amount=amount,
        destination=entry.owner.account_id if entry.funding == "prepaid" else entry.owner.wallet,
        reason="wrong answer",
        maker="ada",
    )
    corrections.grant_approval(approval_id=approval_id, checker="bea")
    return approval_id


def sweep_all() -> None:
    """Leave nothing expired behind."""
    while reservations.release_expired():
        pass
    while expire_credit_notes():
        pass


def system_balances() -> Counter[tuple[str, str]]:
    """What the accounts of the system hold now."""
    return Counter(_balances(list(SYSTEM_ACCOUNTS)))


def stored_books(books: Model, before: Counter[tuple[str, str]]) -> dict[str, Any]:
    """The database's answer to `Model.snapshot`: the model's owners, and what the system gained since `before`."""
    owned = [
        name
        for owner in books.owners
        for name in (
            accounts.available(owner.account_id),
            accounts.held(owner.account_id),
            accounts.credit_notes(owner.wallet),
        )
    ]
    balances = Counter(_balances([*SYSTEM_ACCOUNTS, *owned]))
    balances.subtract(before)
    notes: dict[str, list[tuple[Any, ...]]] = {owner.wallet: [] for owner in books.owners}
    for wallet, *note in ledger.rows(
        "SELECT wallet, kind, amount, remaining, coalesce(expires_at <= clock_timestamp(), false),"
        " refundable_at IS NOT NULL FROM billing.credit_note WHERE wallet = ANY (%s) ORDER BY number",
        list(notes),
    ):
        notes[wallet].append(tuple(note))
    entries = ledger.rows(
        "SELECT id, state, held_amount, revenue_remaining, cost_amount FROM billing.billing_entry"
        " WHERE account_id = ANY (%s)",
        [owner.account_id for owner in books.owners],
    )
    payments = ledger.rows("SELECT id, state FROM billing_test_payment WHERE id = ANY (%s)", list(books.rows))
    return {
        "balances": {place: amount for place, amount in balances.items() if amount},
        "notes": notes,
        "entries": {name: tuple(facts) for name, *facts in entries},
        "rows": dict(payments),
    }


def _balances(names: list[str]) -> dict[tuple[str, str], int]:
    return {
        (name, denomination): posted
        for name, denomination, posted in ledger.rows(
            "SELECT a.name, a.denomination, sum(b.posted)::bigint FROM billing.account a"
            " JOIN billing.balance b ON b.account_id = a.id WHERE a.name = ANY (%s) GROUP BY 1, 2",
            names,
        )
    }
