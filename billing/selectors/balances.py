"""Balances: now, at a recorded moment, and by effective time.

A user account has one balance row, a system account one per stream, which are added on reading. A balance at a
recorded moment is found by index seeks, and is provisional while transactions older than that moment may still
be open (rule R31). A balance by effective time adds postings up: it is for reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.utils import timezone

LONGEST_TRANSACTION: Final = timedelta(seconds=60)  # a batch waits 5 s for a lock; a minute is beyond any of them

# Versions of an account's shard rise with the time they were recorded at, so the last one of a moment is found by
# halving: some twenty index seeks for a million postings, and the same few pages whichever moment is asked for.
_BALANCE_AT: Final = """
    WITH RECURSIVE halving AS (
        SELECT b.account_id, b.shard, 0::bigint AS low, b.version AS high
        FROM billing.account a JOIN billing.balance b ON b.account_id = a.id
        WHERE a.name = %s AND a.denomination = %s
        UNION ALL
        SELECT h.account_id, h.shard,
               CASE WHEN j.recorded_at <= %s THEN p.version ELSE h.low END,
               CASE WHEN j.recorded_at <= %s THEN h.high ELSE p.version - 1 END
        FROM halving h
        JOIN billing.posting p
            ON p.account_id = h.account_id AND p.shard = h.shard AND p.version = (h.low + h.high + 1) / 2
        JOIN billing.journal j ON j.id = p.journal_id
        WHERE h.low < h.high
    )
    SELECT coalesce(sum(p.balance_after), 0)
    FROM halving h
    JOIN billing.posting p ON p.account_id = h.account_id AND p.shard = h.shard AND p.version = h.low
    WHERE h.low = h.high
"""

# A transaction that has written journals keeps this lock until it ends. Of another role's transaction the start is not
# shown; then it counts as older than anything.
_OPEN_SINCE: Final = """
    SELECT EXISTS (
        SELECT FROM pg_locks l LEFT JOIN pg_stat_activity s ON s.pid = l.pid
        WHERE l.relation = 'billing.journal'::regclass AND l.mode = 'RowExclusiveLock'
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND coalesce(s.xact_start, '-infinity') <= %s)
"""


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """A balance at a recorded moment; `is_provisional` while a batch of before may still be on its way."""

    amount: int
    is_provisional: bool


def balance_of(account: str, denomination: str) -> int:
    """The account's balance now; 0 for an account that was never used."""
    return _one_number(
        "SELECT coalesce(sum(b.posted), 0) FROM billing.account a JOIN billing.balance b ON b.account_id = a.id"
        " WHERE a.name = %s AND a.denomination = %s",
        [account, denomination],
    )


def balance_at(account: str, denomination: str, *, recorded_at: datetime) -> BalanceAt:
    """The account's balance as it was recorded at that moment, inclusive.

    Provisional while a transaction is open that began before that moment and has written, however long it stays open.
    """
    # Asked before the balance is read: a transaction that ends in between is in the balance.
    is_recent = recorded_at > timezone.now() - LONGEST_TRANSACTION
    is_provisional = is_recent or _one_number(_OPEN_SINCE, [recorded_at]) == 1
    return BalanceAt(_one_number(_BALANCE_AT, [account, denomination, recorded_at, recorded_at]), is_provisional)


def balance_by_effective_time(account: str, denomination: str, *, effective_until: datetime) -> int:
    """What the account held counting only journals effective up to that moment. Reads all its postings."""
    return _one_number(
        "SELECT coalesce(sum(p.amount), 0) FROM billing.account a JOIN billing.posting p ON p.account_id = a.id"
        " JOIN billing.journal j ON j.id = p.journal_id"
        " WHERE a.name = %s AND a.denomination = %s AND j.effective_at <= %s",
        [account, denomination, effective_until],
    )


def _one_number(query: str, parameters: Sequence[str | datetime]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    return int(row[0])
