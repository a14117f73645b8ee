"""Credit notes as their wallet sees them: what can be spent now, each note, and what happened to it.

Whether a note has expired is judged by the database's clock at the moment of asking, sweeper or not (rule R32).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

NOTES_MAX: Final = 100

_NOTES: Final = """
SELECT n.id, n.denomination, n.kind, n.amount, n.remaining, n.source, n.issued_at, n.expires_at, n.refundable_at,
       n.remaining > 0 AND (n.expires_at IS NULL OR n.expires_at > clock_timestamp())
FROM billing.credit_note n
"""
_BY_ID: Final = _NOTES + "WHERE n.id = %s"
_BY_SOURCE: Final = _NOTES + "WHERE n.source = %s ORDER BY n.number LIMIT %s"
_BY_WALLET: Final = _NOTES + "WHERE n.wallet = %s AND (n.remaining > 0 OR NOT %s) ORDER BY n.number LIMIT %s"


@dataclass(frozen=True, slots=True)
class Note:
    """One credit note. Amounts are in the denomination's atomic unit; `expires_at` is None for money owed."""

    id: str
    denomination: str
    kind: str
    amount: int
    remaining: int
    source: str
    issued_at: datetime
    expires_at: datetime | None
    refundable_at: datetime | None
    is_spendable: bool


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of a note: positive when money came onto it. `number` orders movements and is their page's key."""

    number: int
    note_id: str
    kind: str
    reason: str
    amount: int
    remaining_after: int
    journal_id: str
    entry_id: str | None
    recorded_at: datetime


def spendable_credit_of(wallet: str, denomination: str) -> int:
    """What the wallet can spend now: the sum of what remains on notes that have not expired."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(remaining), 0)::bigint FROM billing.credit_note"
            " WHERE wallet = %s AND denomination = %s AND remaining > 0"
            " AND (expires_at IS NULL OR expires_at > clock_timestamp())",
            [wallet.lower(), denomination],
        )
        return int(cursor.fetchone()[0])


def notes_of(wallet: str, *, only_open: bool = True, limit: int = NOTES_MAX) -> list[Note]:
    """The wallet's notes in the order they are spent, oldest first; those used up as well when asked for."""
    return _read(_BY_WALLET, [wallet.lower(), only_open, limit])


def notes_from(source: str) -> list[Note]:
    """The notes that one payment or other source gave rise to, oldest first."""
    return _read(_BY_SOURCE, [source, NOTES_MAX])


def note_of(note_id: str) -> Note | None:
    """One note, or None."""
    return next(iter(_read(_BY_ID, [note_id])), None)


def movements_of(wallet: str, *, before: int, limit: int) -> list[Movement]:
    """What happened to the wallet's notes, newest first, before the movement of that number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT m.id, m.note_id, n.kind, m.reason, m.amount, m.remaining_after, m.journal_id, m.entry_id,"
            " j.recorded_at FROM billing.credit_note n"
            ' JOIN billing.credit_note_movement m ON m.note_id = n.id COLLATE "default"'  # that of the index
            " JOIN billing.journal j ON j.id = m.journal_id"
            " WHERE n.wallet = %s AND m.id < %s ORDER BY m.id DESC LIMIT %s",
            [wallet.lower(), before, limit],
        )
        return [Movement(*row) for row in cursor.fetchall()]


def _read(query: str, parameters: Sequence[str | int]) -> list[Note]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return [Note(*row) for row in cursor.fetchall()]
