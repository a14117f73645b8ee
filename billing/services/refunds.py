"""Paying credit notes out on chain: started before anything is signed, then paid or failed (rule R4).

The ledger knows a refund by its id alone; who signs it and what the chain shows is the caller's. Money in
`system:refunds_payable` is neither spendable nor ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.domain import posting_rules
from billing.domain.journal import Journal, JournalKind, NoteSpend, Result, Transition
from billing.services.note_limits import new_note
from billing.services.outcomes import append_again_when_stale, require_written
from billing.services.recovery import require_none
from telemetry.identifiers import new_id


def mark_refundable(*, sources: Sequence[str]) -> Result:
    """Say that these payments are final on their chain, so that their notes may be refunded.

    Saying it again marks the notes that came from them since.
    """
    return _append(
        Journal(
            kind=JournalKind.NOTES_FINAL,
            key=f"final:{new_id('fin')}",
            final_sources=tuple(sorted(sources)),
        )
    )


def start_refund(
    *,
    refund_id: str,
    wallet: str,
    denomination: str,
    amount_micro_usdc: int,
    note_id: str | None = None,
    approval_id: str | None = None,
    transition: Transition | None = None,
) -> Result:
    """Take money off refundable notes and owe it as a refund to their wallet; before anything is signed.

    Units: MicroUSDC. The refund's row moves with it. The destination is the wallet and never a parameter. Raises
    InsufficientFunds when refundable notes cannot pay all of it, ApprovalRequired above the wallet's daily limit,
    RecoveryInProgress.
    """
    require_none()
    owner = wallet.lower()
    return _append(
        Journal(
            kind=JournalKind.CREDIT_NOTE_REFUND_STARTED,
            key=f"refund:{refund_id}",
            postings=posting_rules.credit_note_refund_started(
                denomination=denomination, wallet=owner, amount=amount_micro_usdc
            ),
            notes_spent=(
                NoteSpend(
                    wallet=owner, amount=amount_micro_usdc, spend_id=refund_id, reason="refunded", note_id=note_id
                ),
            ),
            transitions=() if transition is None else (transition,),
            metadata={"refund_id": refund_id, "target": refund_id, "destination": owner},
            approval_id=approval_id,
        )
    )


def confirm_refund(
    *,
    refund_id: str,
    denomination: str,
    paid_from: str,
    amount_micro_usdc: int,
    tx_hash: str,
    log_index: int,
    transitions: Sequence[Transition] = (),
) -> Result:
    """Book a refund that the chain shows, and move its rows. Units: MicroUSDC.

    One refund is paid once, whichever log shows it.
    """
    return _append(
        Journal(
            kind=JournalKind.CREDIT_NOTE_REFUND_PAID,
            key=f"refund_ended:{refund_id}",
            postings=posting_rules.credit_note_refund_paid(
                denomination=denomination, paid_from=paid_from, amount=amount_micro_usdc
            ),
            transitions=tuple(transitions),
            metadata={"refund_id": refund_id, "tx_hash": tx_hash, "log_index": log_index},
        )
    )


def fail_refund(
    *, refund_id: str, wallet: str, denomination: str, amount_micro_usdc: int, transition: Transition | None = None
) -> Result:
    """Give a refund that definitely never happened back to its wallet, as a note that is owed. Units: MicroUSDC.

    Paid and failed share one key: whichever is booked first, the other is refused with KeyReused.
    """
    return _append(
        Journal(
            kind=JournalKind.CREDIT_NOTE_REFUND_FAILED,
            key=f"refund_ended:{refund_id}",
            postings=posting_rules.credit_note_refund_failed(
                denomination=denomination, wallet=wallet, amount=amount_micro_usdc
            ),
            notes_issued=(new_note(wallet=wallet, kind="owed", amount=amount_micro_usdc, source=refund_id),),
            transitions=() if transition is None else (transition,),
            metadata={"refund_id": refund_id},
        )
    )


@dataclass(frozen=True, slots=True)
class LostRefund:
    """A refund that the chain shows and the ledger forgot: one Transfer log. Units: MicroUSDC."""

    refund_id: str
    wallet: str
    denomination: str
    paid_from: str
    amount_micro_usdc: int
    tx_hash: str
    log_index: int


def book_lost_refund(lost: LostRefund) -> Result:
    """Book the whole of a refund that was paid before this database was put back: off the notes, and out of the float.

    Both journals stand or fall together. Asks for no recovery to be over: this is how one is ended. Raises
    InsufficientFunds when the wallet's refundable notes cannot pay all of it, ApprovalRequired above its daily limit.
    Source: rules R4, R10.
    """
    facts = {"refund_id": lost.refund_id, "tx_hash": lost.tx_hash, "log_index": lost.log_index}
    owner = lost.wallet.lower()
    started = Journal(
        kind=JournalKind.CREDIT_NOTE_REFUND_STARTED,
        key=f"refund:{lost.refund_id}",
        postings=posting_rules.credit_note_refund_started(
            denomination=lost.denomination, wallet=owner, amount=lost.amount_micro_usdc
        ),
        notes_spent=(
            NoteSpend(wallet=owner, amount=lost.amount_micro_usdc, spend_id=lost.refund_id, reason="refunded"),
        ),
        metadata=facts | {"target": lost.refund_id, "destination": owner},
        linked=True,
    )
    paid = Journal(
        kind=JournalKind.CREDIT_NOTE_REFUND_PAID,
        key=f"refund_ended:{lost.refund_id}",
        postings=posting_rules.credit_note_refund_paid(
            denomination=lost.denomination, paid_from=lost.paid_from, amount=lost.amount_micro_usdc
        ),
        metadata=facts,
    )
    _, ended = [require_written(result) for result in append_again_when_stale([started, paid])]
    return ended


def _append(journal: Journal) -> Result:
    [result] = append_again_when_stale([journal])
    return require_written(result)
