"""The part of the ledger's proof that adds up: balances, notes and holds.

Each check is one statement that reads an index in order and returns its first bad row.
"""

from collections.abc import Sequence
from typing import Final

from django.db.backends.utils import CursorWrapper

from billing.services.verification_findings import CheckResult, Finding

_POSTINGS: Final = """
SELECT account_id, shard, version, reason FROM (
    SELECT account_id, shard, version, CASE
        WHEN version <> lag(version, 1, 0::bigint) OVER following + 1 THEN 'versions are missing before it'
        WHEN balance_after::numeric <> lag(balance_after, 1, 0::bigint) OVER following::numeric + amount
            THEN 'its balance is not the one before plus its amount'
        END AS reason
    FROM billing.posting
    WINDOW following AS (PARTITION BY account_id, shard ORDER BY version)
) judged WHERE reason IS NOT NULL LIMIT 1
"""

_BALANCES: Final = """
SELECT a.name, b.shard, b.posted, b.version, coalesce(p.balance_after, 0), p.version IS NOT NULL OR b.version = 0
FROM billing.balance b
JOIN billing.account a ON a.id = b.account_id
LEFT JOIN billing.posting p ON p.account_id = b.account_id AND p.shard = b.shard AND p.version = b.version
LEFT JOIN LATERAL (
    SELECT true AS exists FROM billing.posting f
    WHERE f.account_id = b.account_id AND f.shard = b.shard AND f.version > b.version LIMIT 1
) beyond ON true
WHERE b.posted <> coalesce(p.balance_after, 0) OR (b.version > 0 AND p.version IS NULL) OR beyond.exists
   OR b.posted NOT BETWEEN b.floor AND b.cap
ORDER BY a.name LIMIT 1
"""

_UNBALANCED_DENOMINATION: Final = """
SELECT a.denomination, sum(b.posted) FROM billing.balance b JOIN billing.account a ON a.id = b.account_id
GROUP BY a.denomination HAVING sum(b.posted) <> 0 ORDER BY 1 LIMIT 1
"""

_NOTES_OF_WALLETS: Final = """
SELECT coalesce(n.wallet, b.wallet), coalesce(n.remaining, 0), coalesce(b.posted, 0)
FROM (SELECT wallet, denomination, sum(remaining) AS remaining FROM billing.credit_note GROUP BY 1, 2) n
FULL JOIN (
    SELECT a.owner AS wallet, a.denomination, sum(b.posted) AS posted
    FROM billing.account a
    JOIN billing.account_shape s ON s.number = a.shape AND s.name = 'credit_notes'
    JOIN billing.balance b ON b.account_id = a.id GROUP BY 1, 2
) b ON b.wallet = n.wallet AND b.denomination = n.denomination
WHERE coalesce(n.remaining, 0) <> coalesce(b.posted, 0) ORDER BY 1 LIMIT 1
"""

# One seek per note: joined to the sums of all notes, the planner compares every note with every sum. The index has the
# collation of note_id, and without naming it the comparison would have that of id.
_NOTE_MOVEMENTS: Final = """
SELECT n.id, n.remaining, coalesce(m.total, 0) FROM billing.credit_note n
CROSS JOIN LATERAL (
    SELECT sum(w.amount) AS total FROM billing.credit_note_movement w WHERE w.note_id = n.id COLLATE "default"
) m
WHERE n.remaining <> coalesce(m.total, 0) ORDER BY n.number LIMIT 1
"""

_HOLDS: Final = """
SELECT coalesce(e.account_id, b.owner), coalesce(e.held, 0), coalesce(b.posted, 0)
FROM (
    SELECT account_id, denomination, sum(held_amount) AS held FROM billing.billing_entry
    WHERE state IN ('RESERVE_HELD', 'COMMITTED', 'FINALIZE_PENDING', 'FINALIZE_FAILED') GROUP BY 1, 2
) e
FULL JOIN (
    SELECT a.owner, a.denomination, sum(b.posted) AS posted
    FROM billing.account a
    JOIN billing.account_shape s ON s.number = a.shape AND s.name = 'user_held'
    JOIN billing.balance b ON b.account_id = a.id GROUP BY 1, 2
) b ON b.owner = e.account_id AND b.denomination = e.denomination
WHERE coalesce(e.held, 0) <> coalesce(b.posted, 0) ORDER BY 1 LIMIT 1
"""


def check_posting_chain(cursor: CursorWrapper) -> CheckResult:
    """In every account and shard, versions follow each other and each balance is the one before plus the amount."""
    row = _first(cursor, _POSTINGS)
    where = f"account {row[0]}, shard {row[1]}, version {row[2]}" if row else ""
    return _result("posting_chain", where, f"{row[3]}" if row else "")


def check_balances(cursor: CursorWrapper) -> CheckResult:
    """Every balance row is its last posting's balance, within its limits, with nothing beyond it."""
    row = _first(cursor, _BALANCES)
    if row is None:
        return _result("balances", "", "")
    detail = f"it says {row[2]} at version {row[3]}, its postings say {row[4]}"
    return _result("balances", f"balance of {row[0]}, shard {row[1]}", detail)


def check_trial_balance(cursor: CursorWrapper) -> CheckResult:
    """The balances of each denomination sum to zero."""
    row = _first(cursor, _UNBALANCED_DENOMINATION)
    return _result("trial_balance", f"denomination {row[0]}" if row else "", f"balances sum to {row[1]}" if row else "")


def check_credit_notes(cursor: CursorWrapper) -> CheckResult:
    """A wallet's account is the sum of what remains on its notes, and a note is the sum of its movements."""
    row = _first(cursor, _NOTES_OF_WALLETS)
    if row:
        detail = f"its notes hold {row[1]}, its account {row[2]}"
        return _result("credit_notes", f"wallet {row[0]}", detail)
    row = _first(cursor, _NOTE_MOVEMENTS)
    return _result(
        "credit_notes", f"note {row[0]}" if row else "", f"{row[1]} remain, its movements say {row[2]}" if row else ""
    )


def check_holds(cursor: CursorWrapper) -> CheckResult:
    """What an account has held is the sum of its unresolved entries."""
    row = _first(cursor, _HOLDS)
    return _result(
        "holds", f"account {row[0]}" if row else "", f"its entries hold {row[1]}, its balance {row[2]}" if row else ""
    )


def _first(cursor: CursorWrapper, query: str) -> Sequence[object] | None:
    cursor.execute(query)
    row: Sequence[object] | None = cursor.fetchone()
    return row


def _result(check: str, where: str, detail: str) -> CheckResult:
    return CheckResult(check, 0, Finding(check, where, detail) if where else None)
