"""Money of the treasury that moves without a payer: a top-up of the refund float, a deposit whose owner was found.

A matched deposit becomes a note of kind `owed` for the wallet it came from, which then is refunded like any other. That
is an act of people: it needs a second person's approval, checked by the database (rule R34).
"""

from dataclasses import dataclass

from billing.domain import posting_rules
from billing.domain.journal import Journal, JournalKind, Result
from billing.services.note_limits import new_note
from billing.services.outcomes import append_again_when_stale, require_written


@dataclass(frozen=True, slots=True)
class TopUp:
    """One Transfer log from the treasury to the float. Units: MicroUSDC."""

    log: str
    denomination: str
    treasury: str
    refund_float: str
    amount_micro_usdc: int


def book_top_up(top_up: TopUp) -> Result:
    """Book money moved to the float; once per log."""
    return _append(
        Journal(
            kind=JournalKind.REFUND_FLOAT_TOPPED_UP,
            key=f"topup:{top_up.log}",
            postings=posting_rules.refund_float_topped_up(
                denomination=top_up.denomination,
                treasury=top_up.treasury,
                refund_float=top_up.refund_float,
                amount=top_up.amount_micro_usdc,
            ),
            metadata={"log": top_up.log},
        )
    )


def match_deposit(
    *, journal_id: str, wallet: str, denomination: str, amount_micro_usdc: int, approval_id: str
) -> Result:
    """Give an unmatched deposit to the wallet it came from, as a note that is owed; once per deposit.

    Units: MicroUSDC. `journal_id` is the deposit's, and the approval's target. Raises ApprovalInvalid, KeyReused.
    """
    return _append(
        Journal(
            kind=JournalKind.SUSPENSE_MATCHED,
            key=f"matched:{journal_id}",
            postings=posting_rules.suspense_matched(denomination=denomination, wallet=wallet, amount=amount_micro_usdc),
            notes_issued=(new_note(wallet=wallet, kind="owed", amount=amount_micro_usdc, source=journal_id),),
            metadata={"target": journal_id, "destination": wallet.lower()},
            approval_id=approval_id,
        )
    )


def _append(journal: Journal) -> Result:
    [result] = append_again_when_stale([journal])
    return require_written(result)
