"""The postings of every kind of journal, one function each: where the chart's lines are written down as code.

Amounts are positive integers in the named denomination's unit; the sign is given here and nowhere else.
Lines of zero are left out, because a posting is never zero.
"""

from billing.domain import accounts
from billing.domain.journal import Posting


def _postings(denomination: str, *lines: tuple[str, int]) -> tuple[Posting, ...]:
    return tuple([Posting(account, denomination, amount) for account, amount in lines if amount])


def x402_settled(*, denomination: str, treasury: str, account_id: str, amount: int) -> tuple[Posting, ...]:
    """Money seen on chain, held for the account that paid it."""
    return _postings(denomination, (treasury, -amount), (accounts.held(account_id), amount))


def billing_reserve(*, denomination: str, account_id: str, amount: int) -> tuple[Posting, ...]:
    """Prepaid money set aside for work."""
    return _postings(denomination, (accounts.available(account_id), -amount), (accounts.held(account_id), amount))


def billing_release(*, denomination: str, account_id: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """A hold given back: to the prepaid balance, or to the wallet's notes and never to `available` (rule R14)."""
    target = accounts.credit_notes(wallet) if wallet else accounts.available(account_id)
    return _postings(denomination, (accounts.held(account_id), -amount), (target, amount))


def billing_commit(
    *, denomination: str, account_id: str, change_account: str, held: int, charged: int
) -> tuple[Posting, ...]:
    """The hold resolved: what was charged is revenue, the rest goes back."""
    return _postings(
        denomination,
        (accounts.held(account_id), -held),
        (accounts.REVENUE, charged),
        (change_account, held - charged),
    )


def overrun(*, denomination: str, amount: int) -> tuple[Posting, ...]:
    """Cost above what the payer signed for: our expense, so that revenue shows what the work was worth."""
    return _postings(denomination, (accounts.OVERRUNS, -amount), (accounts.REVENUE, amount))


def billing_void(*, denomination: str, account_id: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """Booked revenue given back to whoever funded it."""
    target = accounts.credit_notes(wallet) if wallet else accounts.available(account_id)
    return _postings(denomination, (accounts.REVENUE, -amount), (target, amount))


def credit_note_owed(*, denomination: str, source: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """Money owed back in full. `source` is the hold of undelivered work, or the treasury for money that came late."""
    return _postings(denomination, (source, -amount), (accounts.credit_notes(wallet), amount))


def credit_note_spent(*, denomination: str, wallet: str, account_id: str, amount: int) -> tuple[Posting, ...]:
    """Notes turned into a hold."""
    return _postings(denomination, (accounts.credit_notes(wallet), -amount), (accounts.held(account_id), amount))


def credit_note_expired(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """Change nobody spent in time."""
    return _postings(denomination, (accounts.credit_notes(wallet), -amount), (accounts.CREDIT_NOTES_EXPIRED, amount))


def credit_note_refund_started(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """A refund leaves the notes before anything is signed, so that it can be neither spent nor sent twice (rule R4)."""
    return _postings(denomination, (accounts.credit_notes(wallet), -amount), (accounts.REFUNDS_PAYABLE, amount))


def credit_note_refund_paid(*, denomination: str, paid_from: str, amount: int) -> tuple[Posting, ...]:
    """A refund seen on chain. `paid_from` is the treasury, or the float that refunds are paid from."""
    return _postings(denomination, (accounts.REFUNDS_PAYABLE, -amount), (paid_from, amount))


def credit_note_refund_failed(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """A refund that definitely never happened, back on a note."""
    return _postings(denomination, (accounts.REFUNDS_PAYABLE, -amount), (accounts.credit_notes(wallet), amount))


def note_clawed_back(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """What is left on notes whose payment the chain undid, set against what the wallet owes."""
    return _postings(denomination, (accounts.credit_notes(wallet), -amount), (accounts.receivable(wallet), amount))


def credit_mint(*, treasury: str, token: str, paid: int, account_id: str, minted: int) -> tuple[Posting, ...]:
    """Prepaid credit bought with USDC: two denominations, each zero-sum, joined by their exchange account."""
    exchange = accounts.exchange(source=token, target=accounts.PREPAID)
    return (
        *_postings(token, (treasury, -paid), (exchange, paid)),
        *_postings(accounts.PREPAID, (exchange, -minted), (accounts.available(account_id), minted)),
    )


def served_deferred(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """Work delivered before its payment settled."""
    return _postings(denomination, (accounts.receivable(wallet), -amount), (accounts.REVENUE, amount))


def deferred_settled(*, denomination: str, treasury: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """The payment of work delivered earlier."""
    return _postings(denomination, (treasury, -amount), (accounts.receivable(wallet), amount))


def receivable_written_off(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """A receivable that is dead on chain."""
    return _postings(denomination, (accounts.BAD_DEBT, -amount), (accounts.receivable(wallet), amount))


def refund_float_topped_up(
    *, denomination: str, treasury: str, amount: int, refund_float: str = accounts.REFUND_FLOAT
) -> tuple[Posting, ...]:
    """Money moved from the treasury to where refunds are paid from."""
    return _postings(denomination, (refund_float, -amount), (treasury, amount))


def settlement_reversed(*, denomination: str, treasury: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """A settlement the chain undid for good: the wallet owes what it was served (rule R24)."""
    return _postings(denomination, (treasury, amount), (accounts.receivable(wallet), -amount))


def gas_spent(*, network: str, address: str, kilo_wei: int) -> tuple[Posting, ...]:
    """Native coin burned by a relayer's transaction, reverted ones and L1 fees included."""
    coin = accounts.coin_denomination(network)
    return _postings(coin, (accounts.relayer(network=network, address=address), kilo_wei), (accounts.GAS, -kilo_wei))


def relayer_funded(*, network: str, address: str, kilo_wei: int) -> tuple[Posting, ...]:
    """Gas money given to a relayer."""
    coin = accounts.coin_denomination(network)
    return _postings(
        coin, (accounts.relayer(network=network, address=address), -kilo_wei), (accounts.FUNDING, kilo_wei)
    )


def deposit_unmatched(*, denomination: str, treasury: str, amount: int) -> tuple[Posting, ...]:
    """Money on chain that belongs to nothing we know yet."""
    return _postings(denomination, (treasury, -amount), (accounts.SUSPENSE, amount))


def suspense_matched(*, denomination: str, wallet: str, amount: int) -> tuple[Posting, ...]:
    """Unmatched money whose payer was found."""
    return _postings(denomination, (accounts.SUSPENSE, -amount), (accounts.credit_notes(wallet), amount))


def manual_credit(*, denomination: str, target: str, amount: int) -> tuple[Posting, ...]:
    """A goodwill credit, at our expense."""
    return _postings(denomination, (accounts.BAD_DEBT, -amount), (target, amount))


def opening_balance(*, denomination: str, account: str, amount: int) -> tuple[Posting, ...]:
    """A balance brought in from other books; `amount` keeps its sign."""
    return _postings(denomination, (account, amount), (accounts.OPENING, -amount))


def reversal(postings: list[Posting]) -> tuple[Posting, ...]:
    """Every posting of a journal, negated."""
    return tuple([Posting(posting.account, posting.denomination, -posting.amount) for posting in postings])
