"""Corrections by people: void, reversal, manual credit. Each needs a second person, checked by the database (rule R34).

Nothing is ever edited. An approval is given for exactly one act: kind, target as it was, amount, destination. It is
consumed by the journal it allows, in the same transaction.
"""

from django.db import connection

from billing.domain import accounts, posting_rules
from billing.domain.errors import ApprovalInvalid, WrongState
from billing.domain.journal import EntryMove, Journal, JournalKind, Posting, Result
from billing.domain.lifecycle import EntryState
from billing.services.note_limits import new_note
from billing.services.outcomes import append_again_when_stale, require_written
from telemetry.identifiers import new_id

APPROVAL_SECONDS = 24 * 3600


def request_approval(
    *, kind: JournalKind, target: str, denomination: str, amount: int, destination: str, reason: str, maker: str
) -> str:
    """Ask for a second person's yes; the approval's id. `destination` is the account's owner or the wallet."""
    approval_id = new_id("apr")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing.request_approval(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [approval_id, kind.value, target, denomination, amount, destination, reason, maker, APPROVAL_SECONDS],
        )
    return approval_id


def grant_approval(*, approval_id: str, checker: str) -> None:
    """Say yes to what somebody else asked for. Raises ApprovalInvalid: unknown, expired, granted, own, changed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing.grant_approval(%s, %s)", [approval_id, checker])
        (answer,) = cursor.fetchone()
    if answer != "ok":
        raise ApprovalInvalid(approval_id=approval_id, reason=answer)


def void_entry(*, entry_id: str, amount: int, reason: str, approval_id: str) -> Result:
    """Give booked revenue of an entry back to whoever funded it, at most what is left of it (rule R33).

    Units: the entry's denomination. Raises InsufficientFunds above the remaining revenue, ApprovalInvalid.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, wallet, denomination, correlation_id, payment_id"
            " FROM billing.billing_entry WHERE id = %s",
            [entry_id],
        )
        entry = cursor.fetchone()
    if entry is None:
        raise WrongState(entry_id=entry_id, state="IDLE")
    account_id, wallet, denomination, correlation_id, payment_id = entry
    note = new_note(wallet=wallet, kind="owed", amount=amount, source=payment_id or entry_id) if wallet else None
    return _append(
        Journal(
            kind=JournalKind.BILLING_VOID,
            key=f"void:{entry_id}:{approval_id}",
            postings=posting_rules.billing_void(
                denomination=denomination, account_id=account_id, wallet=wallet, amount=amount
            ),
            entry_moves=(EntryMove(entry_id, EntryState.FINALIZE_ACKED, EntryState.FINALIZE_ACKED, reason=reason),),
            notes_issued=(note,) if note else (),
            correlation_id=correlation_id,
            metadata={"reason": reason},
            approval_id=approval_id,
        )
    )


def void_unbooked(*, entry_id: str, reason: str, approval_id: str) -> Result:
    """End a failed finalization by giving the whole hold back. Raises WrongState, ApprovalInvalid."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, wallet, denomination, held_amount, state, correlation_id, payment_id"
            " FROM billing.billing_entry WHERE id = %s",
            [entry_id],
        )
        entry = cursor.fetchone()
    if entry is None:
        raise WrongState(entry_id=entry_id, state="IDLE")
    account_id, wallet, denomination, amount, state, correlation_id, payment_id = entry
    note = new_note(wallet=wallet, kind="owed", amount=amount, source=payment_id or entry_id) if wallet else None
    return _append(
        Journal(
            kind=JournalKind.BILLING_VOID,
            key=f"void:{entry_id}:{approval_id}",
            postings=posting_rules.billing_release(
                denomination=denomination, account_id=account_id, wallet=wallet, amount=amount
            ),
            entry_moves=(EntryMove(entry_id, EntryState(state), EntryState.VOIDED, reason=reason),),
            notes_issued=(note,) if note else (),
            correlation_id=correlation_id,
            metadata={"reason": reason},
            approval_id=approval_id,
        )
    )


def reverse_journal(*, journal_id: str, reason: str, approval_id: str) -> Result:
    """Append the negation of a journal that moved no billing entry; once per journal.

    Raises PostingRefused for a journal of an entry (void that instead), ApprovalInvalid.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.name, a.denomination, p.amount FROM billing.posting p"
            " JOIN billing.account a ON a.id = p.account_id WHERE p.journal_id = %s ORDER BY p.line",
            [journal_id],
        )
        postings = [Posting(*row) for row in cursor.fetchall()]
    return _append(
        Journal(
            kind=JournalKind.REVERSAL,
            key=f"reversal:{journal_id}",
            postings=posting_rules.reversal(postings),
            metadata={"reason": reason},
            approval_id=approval_id,
            reverses=journal_id,
        )
    )


def credit_manually(
    *, target_id: str, wallet: str, account_id: str, denomination: str, amount: int, reason: str, approval_id: str
) -> Result:
    """Give a wallet a note, or an account prepaid credit, at our expense. `target_id` is the approval's target."""
    is_note = denomination != accounts.PREPAID
    target = accounts.credit_notes(wallet) if is_note else accounts.available(account_id)
    return _append(
        Journal(
            kind=JournalKind.MANUAL_CREDIT,
            key=f"manual:{target_id}:{approval_id}",
            postings=posting_rules.manual_credit(denomination=denomination, target=target, amount=amount),
            notes_issued=(new_note(wallet=wallet, kind="owed", amount=amount, source=target_id),) if is_note else (),
            metadata={"reason": reason, "target": target_id},
            approval_id=approval_id,
        )
    )


def _append(journal: Journal) -> Result:
    [result] = append_again_when_stale([journal])
    return require_written(result)
