"""Spending credit notes: a hold on them, like the one a settled payment makes."""

from billing.domain import posting_rules
from billing.domain.journal import EntryMove, Journal, JournalKind, NoteSpend, Result, Transition
from billing.domain.lifecycle import EntryState
from billing.services.outcomes import append_again_when_stale
from billing.services.recovery import require_none


def hold_credit(
    *,
    wallet: str,
    account_id: str,
    denomination: str,
    amount_micro_usdc: int,
    spend_key: str,
    entry_id: str,
    correlation_id: str,
    transition: Transition | None,
) -> Result:
    """Turn notes of a wallet, oldest first, into a hold of its account; once per wallet and spend key (rule R13).

    Units: MicroUSDC. The same call again is `exists`; the key with another amount or request is `key_reused`;
    notes that cannot pay all of it are `insufficient_funds` and stay as they are.
    Concurrency: as `append`; the wallet's balance row is locked while its notes are walked.
    Raises RecoveryInProgress.
    """
    require_none()
    owner = wallet.lower()
    [result] = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.CREDIT_NOTE_SPENT,
                key=f"spend:{owner}:{spend_key}",
                postings=posting_rules.credit_note_spent(
                    denomination=denomination, wallet=owner, account_id=account_id, amount=amount_micro_usdc
                ),
                transitions=() if transition is None else (transition,),
                entry_moves=(
                    EntryMove(
                        entry_id=entry_id,
                        from_state=EntryState.IDLE,
                        to_state=EntryState.RESERVE_HELD,
                        account_id=account_id,
                        wallet=owner,
                        funding="credit",
                        payment_id="" if transition is None else transition.row_id,
                        spend_key=spend_key,
                    ),
                ),
                notes_spent=(NoteSpend(wallet=owner, amount=amount_micro_usdc, spend_id=spend_key),),
                correlation_id=correlation_id,
                metadata={"spend_key": spend_key},
            )
        ]
    )
    return result
