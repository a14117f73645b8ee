"""Reports over the whole ledger: trial balance, income statement, conservation, risk.

The trial balance and conservation read balance rows: as many as there are accounts, whatever the number of journals.
The income statement adds the postings of a period up.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

# Shards are added up first and accounts counted as rows: counting distinct ones would sort all of them.
_TRIAL_BALANCE: Final = """
WITH holding AS (
    SELECT account_id, sum(posted) AS posted FROM billing.balance GROUP BY account_id
), line AS (
    SELECT a.denomination, a.shape, count(*) AS accounts, sum(h.posted) AS posted
    FROM holding h JOIN billing.account a ON a.id = h.account_id GROUP BY a.denomination, a.shape
)
SELECT l.denomination, s.name, s.kind, l.accounts, l.posted
FROM line l JOIN billing.account_shape s ON s.number = l.shape ORDER BY l.denomination, s.number
"""
# From the period's journals to their postings to the accounts, in this order: there are few accounts of income, and the
# planner would begin with every posting they ever had.
_INCOME: Final = """
WITH period AS MATERIALIZED (
    SELECT id FROM billing.journal WHERE effective_at >= %s AND effective_at < %s
), moved AS MATERIALIZED (
    SELECT p.account_id, sum(p.amount) AS amount
    FROM period j CROSS JOIN LATERAL (
        SELECT account_id, amount FROM billing.posting WHERE journal_id = j.id OFFSET 0
    ) p GROUP BY p.account_id
)
SELECT a.denomination, s.name, s.kind, sum(m.amount)
FROM moved m CROSS JOIN LATERAL (
    SELECT denomination, shape FROM billing.account WHERE id = m.account_id OFFSET 0
) a JOIN billing.account_shape s ON s.number = a.shape
WHERE s.kind IN ('income', 'expense')
GROUP BY a.denomination, s.number, s.name, s.kind ORDER BY a.denomination, s.number
"""


@dataclass(frozen=True, slots=True)
class TrialBalanceLine:
    """One shape of account in one denomination; credit positive."""

    denomination: str
    shape: str
    kind: str
    account_count: int
    balance: int


@dataclass(frozen=True, slots=True)
class IncomeLine:
    """Income (positive) or expense (negative) of one shape in a period."""

    denomination: str
    shape: str
    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class Conservation:
    """Whether every denomination sums to zero, and by how much the others do not."""

    is_conserved: bool
    differences: dict[str, int]


def trial_balance() -> list[TrialBalanceLine]:
    """Every shape's balance by denomination; each denomination's lines sum to zero."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIAL_BALANCE)
        return [
            TrialBalanceLine(denomination, shape, kind, count, int(total))
            for denomination, shape, kind, count, total in cursor.fetchall()
        ]


def income_statement(*, effective_from: datetime, effective_until: datetime) -> list[IncomeLine]:
    """Income and expense of journals effective from the first moment up to, not including, the second."""
    with connection.cursor() as cursor:
        cursor.execute(_INCOME, [effective_from, effective_until])
        return [
            IncomeLine(denomination, shape, kind, int(total)) for denomination, shape, kind, total in cursor.fetchall()
        ]


def conservation() -> Conservation:
    """Whether nothing was created or lost: all balances of each denomination sum to zero."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.denomination, sum(b.posted) FROM billing.balance b"
            " JOIN billing.account a ON a.id = b.account_id GROUP BY a.denomination HAVING sum(b.posted) <> 0"
        )
        differences = {denomination: int(total) for denomination, total in cursor.fetchall()}
    return Conservation(is_conserved=not differences, differences=differences)


def pending_risk() -> int:
    """What served work that is not booked yet is worth.

    Units: MicroUSD, a MicroUSDC counting as one. Sums over open letters of the finalize queue: the entry's cost where
    it is known, else all that is held for it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(coalesce(e.cost_amount, e.held_amount)), 0) FROM billing.dead_letter l"
            " JOIN billing.billing_entry e ON e.id = coalesce(l.entry_id, l.payload ->> 'entry_id')"
            " WHERE l.queue = 'finalize' AND l.state IN ('pending', 'poisoned')"
            " AND e.state IN ('RESERVE_HELD', 'COMMITTED', 'FINALIZE_PENDING', 'FINALIZE_FAILED')"
        )
        return int(cursor.fetchone()[0])
