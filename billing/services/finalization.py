"""Booking what a served payment really cost, and giving the rest back.

One database call says all of it: revenue, change, overrun, the entry's end, and that the payment is `served`. What
cannot be booked now becomes a dead letter in the same transaction that stores the cost (decision 9): the answer may
leave, because money that is held stays held until the letter is worked off (rule R14).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection, transaction

from billing.domain import accounts, posting_rules
from billing.domain.errors import FinalizeDeferred, InvalidAmount, LostLease
from billing.domain.journal import EntryMove, Journal, JournalKind, NoteIssue, Result, ResultStatus, Transition
from billing.domain.lifecycle import EntryState
from billing.services import dead_letters
from billing.services.append_journal import append_in_transaction
from billing.services.note_limits import new_note
from billing.services.outcomes import append_again_when_stale, require_written
from telemetry.tracing import transaction_carrier

LOST = frozenset({ResultStatus.WRONG_STATE, ResultStatus.KEY_REUSED})
SERVED_PATH = (EntryState.RESERVE_HELD, EntryState.COMMITTED, EntryState.FINALIZE_ACKED)
PENDING_PATH = (EntryState.RESERVE_HELD, EntryState.COMMITTED, EntryState.FINALIZE_PENDING)
RETRIED_PATHS = (
    (EntryState.FINALIZE_PENDING, EntryState.FINALIZE_ACKED),
    (EntryState.FINALIZE_FAILED, EntryState.FINALIZE_ACKED),
)


@dataclass(frozen=True, slots=True)
class FinalizeRequest:
    """What was held for a payment and what its work cost. Units: MicroUSDC."""

    payment_id: str
    entry_id: str
    account_id: str
    wallet: str
    denomination: str
    held_micro_usdc: int
    cost_micro_usdc: int
    correlation_id: str
    transition: Transition | None

    def __post_init__(self) -> None:
        if type(self.cost_micro_usdc) is not int or self.cost_micro_usdc < 0 or self.held_micro_usdc <= 0:
            raise InvalidAmount(held=self.held_micro_usdc, cost=self.cost_micro_usdc)

    @property
    def is_prepaid(self) -> bool:
        """Whether the hold came from a prepaid balance, which gets back what is not used; the unit is then MicroUSD."""
        return self.denomination == accounts.PREPAID

    @property
    def change_account(self) -> str:
        """Where what is not used goes: the prepaid balance, or the wallet's notes."""
        return accounts.available(self.account_id) if self.is_prepaid else accounts.credit_notes(self.wallet)

    @property
    def charged_micro_usdc(self) -> int:
        """What the payer pays: never more than was signed for."""
        return min(self.cost_micro_usdc, self.held_micro_usdc)

    @property
    def overrun_micro_usdc(self) -> int:
        """What the work cost beyond that: our expense."""
        return self.cost_micro_usdc - self.charged_micro_usdc


@dataclass(frozen=True, slots=True)
class Finalized:
    """How a payment was booked. `stream`, `sequence` and `hash` go into its receipt. Units: MicroUSDC.

    `refund_due_micro_usdc` is change that found the wallet's cap full and is owed as a refund instead of a note.
    """

    charged_micro_usdc: int
    overrun_micro_usdc: int
    credit_note_id: str | None
    credit_note_micro_usdc: int
    journal_id: str
    stream: int
    sequence: int
    hash: str
    refund_due_micro_usdc: int = 0


def finalize(*, payment: FinalizeRequest) -> Finalized:
    """Charge the actual cost out of the hold, issue the change, and move the payment to served, all in one call.

    Units: MicroUSDC. Concurrency: as `append`; locks the entry and the payment's row before any balance.
    Raises LostLease when the payment is not this attempt's any more, and nothing is written then; FinalizeDeferred
    when the ledger refused the booking and a dead letter holds it; LedgerUnavailable and OutcomeUnknown, after which
    the same call again is safe. Source: rules R6, R14, R32.
    """
    booked = _book(payment, path=SERVED_PATH)
    if isinstance(booked, Finalized):
        return booked
    if booked.status in LOST:
        raise LostLease(payment_id=payment.payment_id, **_facts(booked))
    raise _defer(payment, reason=booked.status.value)


def close_minted(
    *, payment_id: str, from_state: str, attempt: int, charged_micro_usdc: int, correlation_id: str
) -> None:
    """End a payment whose settlement minted prepaid credit: its money is booked, and only its row moves to served.

    Raises LostLease when the payment is not this attempt's any more.
    """
    changes = {"charged_micro_usdc": charged_micro_usdc}
    [result] = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.STATE_CHANGE,
                key=f"minted:{payment_id}",
                transitions=(Transition("x402_payment", payment_id, from_state, "served", attempt, changes),),
                correlation_id=correlation_id,
                metadata={"payment_id": payment_id},
            )
        ]
    )
    if result.status in LOST:
        raise LostLease(payment_id=payment_id, **_facts(result))
    require_written(result)


def retry_finalize(payload: Mapping[str, object]) -> Finalized:
    """Book a deferred finalization from its dead letter's payload; called again it finds what it booked.

    Raises the Refused error that the ledger answered, and Retryable errors that say nothing about the entry.
    """
    payment = request_of(payload)
    for path in RETRIED_PATHS:
        booked = _book(payment, path=path)
        if isinstance(booked, Finalized):
            return booked
        if booked.status is not ResultStatus.WRONG_STATE:
            require_written(booked)
    raise LostLease(payment_id=payment.payment_id)


def fail_finalize(*, entry_id: str, reason: str) -> Result:
    """Mark a deferred finalization as one that people must look at. Raises WrongState."""
    [result] = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.STATE_CHANGE,
                key=f"finalize_failed:{entry_id}",
                entry_moves=(
                    EntryMove(entry_id, EntryState.FINALIZE_PENDING, EntryState.FINALIZE_FAILED, reason=reason),
                ),
                metadata={"reason": reason},
            )
        ]
    )
    return require_written(result)


def credit_owed(*, payment: FinalizeRequest, reason: str) -> Finalized:
    """Give the whole held amount back as a note of kind `owed`, in the call that records why the work failed.

    A prepaid hold goes back to its balance instead. Units: MicroUSDC. Raises LostLease when the payment is not this
    attempt's any more; nothing is written then. Source: rules R6, R15.
    """
    if payment.is_prepaid:
        return _release(payment, reason=reason)
    note = new_note(wallet=payment.wallet, kind="owed", amount=payment.held_micro_usdc, source=payment.payment_id)
    for change_account in (accounts.credit_notes(payment.wallet), accounts.REFUNDS_PAYABLE):
        is_note = change_account != accounts.REFUNDS_PAYABLE
        journal = Journal(
            kind=JournalKind.CREDIT_NOTE_OWED,
            key=f"owed:{payment.entry_id}",
            postings=posting_rules.billing_commit(
                denomination=payment.denomination,
                account_id=payment.account_id,
                change_account=change_account,
                held=payment.held_micro_usdc,
                charged=0,
            ),
            transitions=_transitions(payment),
            entry_moves=(
                EntryMove(payment.entry_id, EntryState.RESERVE_HELD, EntryState.RELEASED, cost=0, reason=reason),
            ),
            notes_issued=(note,) if is_note else (),
            correlation_id=payment.correlation_id,
            metadata=_metadata(payment, reason=reason, is_note=is_note),
        )
        [result] = append_again_when_stale([journal])
        if result.status is not ResultStatus.CREDIT_NOTE_CAP_EXCEEDED:
            break
    if result.status in LOST:
        raise LostLease(payment_id=payment.payment_id, **_facts(result))
    return _finalized(payment, require_written(result), charged=0, overrun=0, is_note=is_note)


def _release(payment: FinalizeRequest, *, reason: str) -> Finalized:
    """Give a whole prepaid hold back. Raises LostLease."""
    [result] = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.BILLING_RELEASE,
                key=f"release:{payment.entry_id}",
                postings=posting_rules.billing_release(
                    denomination=accounts.PREPAID,
                    account_id=payment.account_id,
                    wallet="",
                    amount=payment.held_micro_usdc,
                ),
                transitions=_transitions(payment),
                entry_moves=(EntryMove(payment.entry_id, EntryState.RESERVE_HELD, EntryState.RELEASED, reason=reason),),
                correlation_id=payment.correlation_id,
                metadata=_metadata(payment, reason=reason),
            )
        ]
    )
    if result.status in LOST:
        raise LostLease(payment_id=payment.payment_id, **_facts(result))
    return _finalized(payment, require_written(result), charged=0, overrun=0, is_note=True)


def request_of(payload: Mapping[str, object]) -> FinalizeRequest:
    """The request that a finalize letter's payload describes; its payment was moved when the letter was written."""
    return FinalizeRequest(
        payment_id=str(payload["payment_id"]),
        entry_id=str(payload["entry_id"]),
        account_id=str(payload["account_id"]),
        wallet=str(payload["wallet"]),
        denomination=str(payload["denomination"]),
        held_micro_usdc=int(str(payload["held_micro_usdc"])),
        cost_micro_usdc=int(str(payload["cost_micro_usdc"])),
        correlation_id=str(payload["correlation_id"]),
        transition=None,
    )


def _book(payment: FinalizeRequest, *, path: tuple[EntryState, ...]) -> Finalized | Result:
    """The booking, or the first result that refused it. A full wallet gets a refund due instead of a note (R32)."""
    rest = payment.held_micro_usdc - payment.charged_micro_usdc
    has_note = rest > 0 and not payment.is_prepaid
    note = new_note(wallet=payment.wallet, kind="change", amount=rest, source=payment.payment_id) if has_note else None
    results = append_again_when_stale(_commit(payment, path=path, note=note))
    is_note = note is not None or payment.is_prepaid
    if note is not None and results[0].status is ResultStatus.CREDIT_NOTE_CAP_EXCEEDED:
        results = append_again_when_stale(_commit(payment, path=path, note=None))
        is_note = False
    if not all(result.is_written for result in results):
        refused = [result for result in results if not result.is_written]
        named = [result for result in refused if result.status is not ResultStatus.LINKED_FAILED]
        return (named or refused)[0]
    charged, overrun = payment.charged_micro_usdc, payment.overrun_micro_usdc
    return _finalized(payment, results[0], charged=charged, overrun=overrun, is_note=is_note)


def _commit(payment: FinalizeRequest, *, path: tuple[EntryState, ...], note: NoteIssue | None) -> list[Journal]:
    charged, overrun = payment.charged_micro_usdc, payment.overrun_micro_usdc
    rest = payment.held_micro_usdc - charged
    journals = [
        Journal(
            kind=JournalKind.BILLING_COMMIT,
            key=f"commit:{payment.entry_id}",
            postings=posting_rules.billing_commit(
                denomination=payment.denomination,
                account_id=payment.account_id,
                change_account=payment.change_account if note or payment.is_prepaid else accounts.REFUNDS_PAYABLE,
                held=payment.held_micro_usdc,
                charged=charged,
            ),
            transitions=_transitions(payment),
            entry_moves=_moves(payment, path),
            notes_issued=(note,) if note else (),
            correlation_id=payment.correlation_id,
            metadata=_metadata(payment, is_note=note is not None or rest == 0 or payment.is_prepaid),
            linked=overrun > 0,
        )
    ]
    if overrun > 0:
        journals.append(
            Journal(
                kind=JournalKind.OVERRUN,
                key=f"overrun:{payment.entry_id}",
                postings=posting_rules.overrun(denomination=payment.denomination, amount=overrun),
                correlation_id=payment.correlation_id,
                metadata={"payment_id": payment.payment_id},
            )
        )
    return journals


def _defer(payment: FinalizeRequest, *, reason: str) -> FinalizeDeferred:
    """Store the cost and a dead letter in one transaction. Raises LostLease when the entry has moved on."""
    with transaction.atomic(durable=True):
        [result] = append_in_transaction(
            [
                Journal(
                    kind=JournalKind.FINALIZE_DEFERRED,
                    key=f"deferred:{payment.entry_id}",
                    transitions=_transitions(payment),
                    entry_moves=_moves(payment, PENDING_PATH, reason=reason),
                    correlation_id=payment.correlation_id,
                    metadata=_metadata(payment, reason=reason),
                )
            ]
        )
        if result.status in LOST:
            raise LostLease(payment_id=payment.payment_id, **_facts(result))
        require_written(result)
        letter_id = dead_letters.enqueue(
            queue="finalize",
            subject_id=payment.entry_id,
            reason=reason,
            entry_id=payment.entry_id,
            payload=_payload(payment),
            correlation_id=payment.correlation_id,
            trace_context=transaction_carrier(),
        )
    return FinalizeDeferred(dead_letter_id=letter_id, journal_id=result.journal_id, reason=reason)


def _payload(payment: FinalizeRequest) -> dict[str, object]:
    return {
        "schema_version": 1,
        "payment_id": payment.payment_id,
        "entry_id": payment.entry_id,
        "account_id": payment.account_id,
        "wallet": payment.wallet,
        "denomination": payment.denomination,
        "held_micro_usdc": str(payment.held_micro_usdc),
        "cost_micro_usdc": str(payment.cost_micro_usdc),
        "correlation_id": payment.correlation_id,
    }


def _moves(payment: FinalizeRequest, path: tuple[EntryState, ...], *, reason: str = "") -> tuple[EntryMove, ...]:
    steps = itertools.pairwise(path)
    cost = payment.cost_micro_usdc
    return tuple([EntryMove(payment.entry_id, start, end, cost=cost, reason=reason) for start, end in steps])


def _transitions(payment: FinalizeRequest) -> tuple[Transition, ...]:
    return () if payment.transition is None else (payment.transition,)


def _metadata(payment: FinalizeRequest, *, reason: str = "", is_note: bool = True) -> dict[str, object]:
    metadata: dict[str, object] = {"payment_id": payment.payment_id, "cost_micro_usdc": str(payment.cost_micro_usdc)}
    if reason:
        metadata["reason"] = reason
    if not is_note:
        metadata["refund_due_to"] = payment.wallet.lower()
    return metadata


def _facts(result: Result) -> dict[str, object]:
    return {name: value for name, value in result.detail.items() if name in ("state", "attempt", "entry_id")}


def _finalized(payment: FinalizeRequest, result: Result, *, charged: int, overrun: int, is_note: bool) -> Finalized:
    rest = payment.held_micro_usdc - charged
    notes = _notes_of(result) if rest and not payment.is_prepaid else []
    if result.journal_id is None or result.stream is None or result.sequence is None or result.hash is None:
        raise LostLease(payment_id=payment.payment_id)
    return Finalized(
        charged_micro_usdc=charged,
        overrun_micro_usdc=overrun,
        credit_note_id=notes[0] if notes else None,
        credit_note_micro_usdc=rest if notes else 0,
        journal_id=result.journal_id,
        stream=result.stream,
        sequence=result.sequence,
        hash=result.hash.hex(),
        refund_due_micro_usdc=0 if is_note else rest,
    )


def _notes_of(result: Result) -> list[str]:
    """Ids of the notes a journal put money on; those of a first append are looked up."""
    notes = result.detail.get("notes")
    if isinstance(notes, list):
        return [note["id"] for note in notes]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT note_id FROM billing.credit_note_movement WHERE journal_id = %s AND amount > 0 ORDER BY id",
            [result.journal_id],
        )
        return [row[0] for row in cursor.fetchall()]
