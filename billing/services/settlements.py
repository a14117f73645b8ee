"""Money seen on chain becomes money held for its payer; money the chain takes back becomes a debt.

Keys name the log: network, transaction, block and index. A payment mined again in another block is another journal,
and one that a reorganisation took away is reversed only when it is dead (rules R3, R5, R24).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.domain import accounts, posting_rules
from billing.domain.journal import EntryMove, Journal, JournalKind, NoteSpend, Result, Transition
from billing.domain.lifecycle import EntryState
from billing.services.append_journal import append
from billing.services.note_limits import new_note
from billing.services.outcomes import append_again_when_stale, require_written


@dataclass(frozen=True, slots=True)
class SettledPayment:
    """One Transfer log that pays one payment. Units: MicroUSDC."""

    payment_id: str
    entry_id: str
    account_id: str
    wallet: str
    network: str
    asset_address: str
    pay_to: str
    amount_micro_usdc: int
    tx_hash: str
    block_hash: str
    block_number: int
    log_index: int
    correlation_id: str
    transition: Transition | None
    minted_micro_usd: int = 0  # prepaid credit this money buys, instead of being held for a call

    @property
    def denomination(self) -> str:
        """The token's CAIP-19 id."""
        return accounts.token_denomination(network=self.network, asset_address=self.asset_address)

    @property
    def treasury(self) -> str:
        """The account of the address that was paid."""
        return accounts.treasury(network=self.network, asset_address=self.asset_address, pay_to=self.pay_to)

    def key(self, kind: str) -> str:
        """The idempotency key of what this log causes."""
        return f"{kind}:{self.network}:{self.tx_hash}:{self.block_hash}:{self.log_index}"

    @property
    def facts(self) -> dict[str, object]:
        """What the journal remembers of the chain."""
        return {
            "payment_id": self.payment_id,
            "tx_hash": self.tx_hash,
            "block_hash": self.block_hash,
            "block_number": self.block_number,
            "log_index": self.log_index,
        }


def book_settlements(items: Sequence[SettledPayment]) -> list[Result]:
    """Hold each settled amount for the account that paid, move its row and its entry; one result per item.

    A purchase of prepaid credit mints it instead.

    Units: MicroUSDC. `wrong_state` means that the payment's row moved on without this money.
    Concurrency: as `append`. Source: rules R3, R24.
    """
    return append_again_when_stale([_settled(item) for item in items])


def book_late_settlement(item: SettledPayment) -> Result:
    """Give money that came for a payment which can no longer be served to its payer, as a note of kind `owed` (R5).

    Units: MicroUSDC. Raises the Refused error that the ledger answered.
    """
    note = new_note(wallet=item.wallet, kind="owed", amount=item.amount_micro_usdc, source=item.payment_id)
    [result] = append(
        [
            Journal(
                kind=JournalKind.CREDIT_NOTE_OWED,
                key=item.key("late"),
                postings=posting_rules.credit_note_owed(
                    denomination=item.denomination,
                    source=item.treasury,
                    wallet=item.wallet,
                    amount=item.amount_micro_usdc,
                ),
                notes_issued=(note,),
                correlation_id=item.correlation_id,
                metadata=item.facts,
            )
        ]
    )
    return require_written(result)


def book_unmatched_deposit(item: SettledPayment) -> Result:
    """Put money that belongs to no payment we know into suspense, until somebody finds whose it is.

    Units: MicroUSDC. The item's payment, entry, account and wallet are not looked at.
    """
    [result] = append(
        [
            Journal(
                kind=JournalKind.DEPOSIT_UNMATCHED,
                key=item.key("unmatched"),
                postings=posting_rules.deposit_unmatched(
                    denomination=item.denomination, treasury=item.treasury, amount=item.amount_micro_usdc
                ),
                correlation_id=item.correlation_id,
                metadata=item.facts,
            )
        ]
    )
    return require_written(result)


def reverse_settlement(item: SettledPayment, *, clawed_back_micro_usdc: int) -> list[Result]:
    """Book that the chain undid a settlement for good: unspent notes of the payment are set against the debt first.

    Units: MicroUSDC. Both journals stand or fall together. Raises nothing for a refusal: look at the results.
    Source: rule R24.
    """
    journals = [
        Journal(
            kind=JournalKind.SETTLEMENT_REVERSED,
            key=item.key("reversed"),
            postings=posting_rules.settlement_reversed(
                denomination=item.denomination,
                treasury=item.treasury,
                wallet=item.wallet,
                amount=item.amount_micro_usdc,
            ),
            transitions=() if item.transition is None else (item.transition,),
            correlation_id=item.correlation_id,
            metadata=item.facts,
            linked=clawed_back_micro_usdc > 0,
        )
    ]
    if clawed_back_micro_usdc > 0:
        journals.append(
            Journal(
                kind=JournalKind.NOTE_CLAWED_BACK,
                key=item.key("clawback"),
                postings=posting_rules.note_clawed_back(
                    denomination=item.denomination, wallet=item.wallet, amount=clawed_back_micro_usdc
                ),
                notes_spent=(
                    NoteSpend(
                        wallet=item.wallet.lower(),
                        amount=clawed_back_micro_usdc,
                        spend_id=item.payment_id,
                        reason="clawed_back",
                        source=item.payment_id,
                    ),
                ),
                correlation_id=item.correlation_id,
                metadata=item.facts,
            )
        )
    return append(journals)


def _minted(item: SettledPayment) -> Journal:
    """The money of a purchase and the credit it buys: one journal, so that neither is without the other."""
    return Journal(
        kind=JournalKind.CREDIT_MINT,
        key=item.key("settle"),
        postings=posting_rules.credit_mint(
            treasury=item.treasury,
            token=item.denomination,
            paid=item.amount_micro_usdc,
            account_id=item.account_id,
            minted=item.minted_micro_usd,
        ),
        transitions=() if item.transition is None else (item.transition,),
        correlation_id=item.correlation_id,
        metadata=item.facts,
    )


def _settled(item: SettledPayment) -> Journal:
    if item.minted_micro_usd:
        return _minted(item)
    return Journal(
        kind=JournalKind.X402_SETTLED,
        key=item.key("settle"),
        postings=posting_rules.x402_settled(
            denomination=item.denomination,
            treasury=item.treasury,
            account_id=item.account_id,
            amount=item.amount_micro_usdc,
        ),
        transitions=() if item.transition is None else (item.transition,),
        entry_moves=(
            EntryMove(
                entry_id=item.entry_id,
                from_state=EntryState.IDLE,
                to_state=EntryState.RESERVE_HELD,
                account_id=item.account_id,
                wallet=item.wallet.lower(),
                funding="x402",
                payment_id=item.payment_id,
            ),
        ),
        correlation_id=item.correlation_id,
        metadata=item.facts,
    )
