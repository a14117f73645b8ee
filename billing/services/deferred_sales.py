"""Work that was answered before its payment settled: booked as a receivable, then paid or written off.

The answer may leave once `served_deferred` is written; from then on the wallet owes what was charged. Keys name the
payment, so that each of the three happens once. Source: rules R16 and R27, chart of accounts.
"""

from dataclasses import dataclass

from billing.domain import posting_rules
from billing.domain.errors import LostLease
from billing.domain.journal import Journal, JournalKind, Result, ResultStatus, Transition
from billing.services.note_limits import new_note
from billing.services.outcomes import append_again_when_stale, require_written
from billing.services.settlements import SettledPayment


@dataclass(frozen=True, slots=True)
class DeferredSale:
    """An answer given on credit. Units: MicroUSDC; `overrun` is cost above what was signed, our expense."""

    payment_id: str
    wallet: str
    denomination: str
    charged_micro_usdc: int
    overrun_micro_usdc: int
    correlation_id: str
    transition: Transition


def book_sale(sale: DeferredSale) -> Result:
    """Book what the wallet owes for an answer that is about to leave, and that it does, in one call.

    Raises LostLease when the payment is not this attempt's any more, and the Refused error that the ledger answered;
    nothing is written then.
    """
    journals = [
        Journal(
            kind=JournalKind.SERVED_DEFERRED,
            key=f"deferred:{sale.payment_id}",
            postings=posting_rules.served_deferred(
                denomination=sale.denomination, wallet=sale.wallet, amount=sale.charged_micro_usdc
            ),
            transitions=(sale.transition,),
            correlation_id=sale.correlation_id,
            metadata={"payment_id": sale.payment_id},
            linked=sale.overrun_micro_usdc > 0,
        )
    ]
    if sale.overrun_micro_usdc > 0:
        journals.append(
            Journal(
                kind=JournalKind.OVERRUN,
                key=f"overrun:{sale.payment_id}",
                postings=posting_rules.overrun(denomination=sale.denomination, amount=sale.overrun_micro_usdc),
                correlation_id=sale.correlation_id,
                metadata={"payment_id": sale.payment_id},
            )
        )
    result = append_again_when_stale(journals)[0]
    if result.status is ResultStatus.WRONG_STATE:
        raise LostLease(payment_id=sale.payment_id)
    return require_written(result)


def book_payment(item: SettledPayment, *, charged_micro_usdc: int) -> Result:
    """Set the money of one Transfer log against what its wallet owes; what is more than that is a note of kind `owed`.

    Units: MicroUSDC. `wrong_state` means that the payment's row moved on without this money. Both journals stand or
    fall together. Source: rules R3 and R24.
    """
    rest = item.amount_micro_usdc - charged_micro_usdc
    journals = [
        Journal(
            kind=JournalKind.DEFERRED_SETTLED,
            key=item.key("deferred_settled"),
            postings=posting_rules.deferred_settled(
                denomination=item.denomination,
                treasury=item.treasury,
                wallet=item.wallet,
                amount=charged_micro_usdc,
            ),
            transitions=() if item.transition is None else (item.transition,),
            correlation_id=item.correlation_id,
            metadata=item.facts,
            linked=rest > 0,
        )
    ]
    if rest > 0:
        note = new_note(wallet=item.wallet, kind="owed", amount=rest, source=item.payment_id)
        journals.append(
            Journal(
                kind=JournalKind.CREDIT_NOTE_OWED,
                key=item.key("deferred_rest"),
                postings=posting_rules.credit_note_owed(
                    denomination=item.denomination, source=item.treasury, wallet=item.wallet, amount=rest
                ),
                notes_issued=(note,),
                correlation_id=item.correlation_id,
                metadata=item.facts,
            )
        )
    results = append_again_when_stale(journals)
    refused = [one for one in results if not one.is_written and one.status is not ResultStatus.LINKED_FAILED]
    return refused[0] if refused else results[0]


def write_off(*, payment_id: str, wallet: str, denomination: str, amount_micro_usdc: int) -> Result:
    """Give up what a wallet owes for this payment: the chain can no longer move it. Units: MicroUSDC."""
    [result] = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.RECEIVABLE_WRITTEN_OFF,
                key=f"written_off:{payment_id}",
                postings=posting_rules.receivable_written_off(
                    denomination=denomination, wallet=wallet, amount=amount_micro_usdc
                ),
                metadata={"payment_id": payment_id},
            )
        ]
    )
    return require_written(result)
