"""Money for tests: accounts nobody else uses, payments that settled, balances as the database says them.

Every test makes its own accounts, because the ledger is never emptied.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from billing.domain import accounts, posting_rules
from billing.domain.journal import EntryMove, Journal, JournalKind, Posting, Result, ResultStatus, Transition
from billing.domain.lifecycle import EntryState
from billing.services.append_journal import append
from billing.services.finalization import FinalizeRequest
from billing.services.settlements import SettledPayment, book_settlements
from telemetry.identifiers import new_id

NETWORK = "eip155:84532"
ASSET = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
PAY_TO = "0x" + "aa" * 20
USDC = accounts.token_denomination(network=NETWORK, asset_address=ASSET)
TREASURY = accounts.treasury(network=NETWORK, asset_address=ASSET, pay_to=PAY_TO)
PAYMENT_TABLE = "billing_test_payment"


def unique(prefix: str = "k") -> str:
    return f"{prefix}-{secrets.token_hex(8)}"


def new_wallet() -> str:
    return "0x" + secrets.token_hex(20)


def make_payment_table(url: str = "") -> None:
    """A registered table of another app, made once per database by the owner."""
    with psycopg.connect(url or settings.DATABASE_DIRECT_URL, autocommit=True) as owner:
        owner.execute("SELECT pg_advisory_lock(8402000)")
        exists = owner.execute("SELECT to_regclass('public.billing_test_payment') IS NOT NULL").fetchone()
        if exists == (True,):
            return
        owner.execute(
            "CREATE TABLE public.billing_test_payment (id text PRIMARY KEY, state text NOT NULL,"
            " attempt integer NOT NULL, charged bigint, note text)"
        )
        owner.execute(
            "SELECT billing.register_transition_table('billing_test_payment', 'public.billing_test_payment', 'state',"
            " 'attempt', ARRAY['charged', 'note'])"
        )
        owner.execute("GRANT SELECT, INSERT, UPDATE ON public.billing_test_payment TO loa_app")


@dataclass(frozen=True)
class PaidCall:
    """A payment row with the entry, account and wallet it belongs to."""

    amount: int = 2_000
    payment_id: str = field(default_factory=lambda: unique("pay"))
    entry_id: str = field(default_factory=lambda: new_id("ent"))
    account_id: str = field(default_factory=lambda: new_id("acc"))
    wallet: str = field(default_factory=new_wallet)
    tx_hash: str = field(default_factory=lambda: "0x" + secrets.token_hex(32))

    def insert(self, state: str = "settling", attempt: int = 1) -> "PaidCall":
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO billing_test_payment (id, state, attempt) VALUES (%s, %s, %s)",
                [self.payment_id, state, attempt],
            )
        return self

    def row(self) -> tuple[str, int]:
        return one("SELECT state, attempt FROM billing_test_payment WHERE id = %s", self.payment_id)

    def transition(self, start: str, end: str, *, attempt: int | None = 1, **changes: Any) -> Transition:
        return Transition(PAYMENT_TABLE, self.payment_id, start, end, attempt, changes)

    def settled_log(self, **changes: Any) -> SettledPayment:
        return replace(
            SettledPayment(
                payment_id=self.payment_id,
                entry_id=self.entry_id,
                account_id=self.account_id,
                wallet=self.wallet,
                network=NETWORK,
                asset_address=ASSET,
                pay_to=PAY_TO,
                amount_micro_usdc=self.amount,
                tx_hash=self.tx_hash,
                block_hash="0x" + "bb" * 32,
                block_number=7,
                log_index=1,
                correlation_id=f"quo_{self.payment_id}",
                transition=self.transition("settling", "serving"),
            ),
            **changes,
        )

    def settle(self) -> "PaidCall":
        """Insert the row and book its settlement; the row says `serving` then."""
        self.insert()
        [result] = book_settlements([self.settled_log()])
        assert result.status is ResultStatus.OK, result
        return self

    def request(self, cost: int, *, attempt: int = 1, to_state: str = "served", **changes: Any) -> FinalizeRequest:
        return replace(
            FinalizeRequest(
                payment_id=self.payment_id,
                entry_id=self.entry_id,
                account_id=self.account_id,
                wallet=self.wallet,
                denomination=USDC,
                held_micro_usdc=self.amount,
                cost_micro_usdc=cost,
                correlation_id=f"quo_{self.payment_id}",
                transition=self.transition("serving", to_state, attempt=attempt),
            ),
            **changes,
        )


def prepaid_account(amount: int) -> str:
    """An account with `amount` MicroUSD available."""
    account_id = new_id("acc")
    if amount:
        give_prepaid(account_id, amount)
    return account_id


def give_prepaid(account_id: str, amount: int) -> None:
    """Prepaid credit for an account, as if it had been bought."""
    minted = posting_rules.credit_mint(treasury=TREASURY, token=USDC, paid=amount, account_id=account_id, minted=amount)
    [result] = append([Journal(JournalKind.CREDIT_MINT, unique("mint"), minted)])
    assert result.status is ResultStatus.OK, result


def reserve_journal(account_id: str, amount: int, *, key: str | None = None, **changes: Any) -> Journal:
    return Journal(
        JournalKind.BILLING_RESERVE,
        key or unique("reserve"),
        posting_rules.billing_reserve(denomination=accounts.PREPAID, account_id=account_id, amount=amount),
        entry_moves=(
            EntryMove(
                changes.pop("entry_id", new_id("ent")),
                EntryState.IDLE,
                EntryState.RESERVE_HELD,
                account_id=account_id,
                funding="prepaid",
                hold_seconds=changes.pop("hold_seconds", 300),
            ),
        ),
        **changes,
    )


def suspense_journal(amount: int = 5, *, key: str | None = None, **changes: Any) -> Journal:
    return Journal(
        JournalKind.DEPOSIT_UNMATCHED,
        key or unique("deposit"),
        posting_rules.deposit_unmatched(denomination=USDC, treasury=TREASURY, amount=amount),
        **changes,
    )


def next_period_end() -> datetime:
    """A moment in the distant past up to which no period is closed yet; tests that close one take the next."""
    return one("SELECT greatest(max(closed_until), '2001-01-01') + interval '1 minute' FROM billing.stream")[0]


def statuses(results: Sequence[Result]) -> list[str]:
    return [result.status.value for result in results]


def balance(account: str, denomination: str = USDC) -> int:
    return one(
        "SELECT coalesce(sum(b.posted), 0)::bigint FROM billing.account a JOIN billing.balance b ON b.account_id = a.id"
        " WHERE a.name = %s AND a.denomination = %s",
        account,
        denomination,
    )[0]


def kinds_of(entry_id: str) -> list[str]:
    return [
        row[0]
        for row in rows("SELECT kind FROM billing.journal WHERE entry_id = %s ORDER BY recorded_at, sequence", entry_id)
    ]


def kinds_of_refund(refund_id: str) -> list[str]:
    return [
        row[0]
        for row in rows(
            "SELECT kind FROM billing.journal WHERE metadata ->> 'refund_id' = %s ORDER BY recorded_at", refund_id
        )
    ]


def notes_of(wallet: str) -> list[tuple[str, int, int]]:
    return rows(
        "SELECT kind, amount, remaining FROM billing.credit_note WHERE wallet = %s ORDER BY number", wallet.lower()
    )


def entry_state(entry_id: str) -> str | None:
    found = rows("SELECT state FROM billing.billing_entry WHERE id = %s", entry_id)
    return found[0][0] if found else None


def journal_count(key: str) -> int:
    return one("SELECT count(*) FROM billing.journal WHERE key = %s", key)[0]


def rows(query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def one(query: str, *parameters: object) -> tuple[Any, ...]:
    [row] = rows(query, *parameters)
    return row


def posting(account: str, amount: int, denomination: str = USDC) -> Posting:
    return Posting(account, denomination, amount)
