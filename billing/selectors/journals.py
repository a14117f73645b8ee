"""Journals with their postings, by what people look them up with: correlation, payment, entry, or their own id."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from django.db import connection

JOURNALS_MAX: Final = 500

_JOURNALS: Final = """
SELECT j.id, j.stream, j.sequence, j.kind, j.key, j.hash, j.effective_at, j.recorded_at, j.correlation_id, j.entry_id,
       j.approval_id, j.reverses, j.metadata,
       coalesce((SELECT jsonb_agg(jsonb_build_array(a.name, a.denomination, p.amount::text, p.balance_after::text)
                                  ORDER BY p.line)
                 FROM billing.posting p JOIN billing.account a ON a.id = p.account_id WHERE p.journal_id = j.id), '[]')
FROM billing.journal j
"""
_BY_ID: Final = _JOURNALS + "WHERE j.id = %s"
_BY_CORRELATION: Final = _JOURNALS + "WHERE j.correlation_id = %s ORDER BY j.recorded_at, j.stream, j.sequence LIMIT %s"
_BY_ENTRY: Final = _JOURNALS + "WHERE j.entry_id = %s ORDER BY j.recorded_at, j.stream, j.sequence LIMIT %s"
# Compared in the collation of entry_id, which its index has; ids of entries have another.
_BY_PAYMENT: Final = (
    _JOURNALS
    + 'JOIN billing.billing_entry e ON j.entry_id = e.id COLLATE "default" WHERE e.payment_id = %s'
    + " ORDER BY j.recorded_at, j.stream, j.sequence LIMIT %s"
)


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One posting; `amount` is credit positive, `balance_after` its account's (shard's) balance with it."""

    account: str
    denomination: str
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One journal with its postings in order."""

    id: str
    stream: int
    sequence: int
    kind: str
    key: str
    hash: bytes
    effective_at: datetime
    recorded_at: datetime
    correlation_id: str
    entry_id: str | None
    approval_id: str | None
    reverses: str | None
    metadata: Mapping[str, Any]
    postings: tuple[PostingLine, ...]


_FACTS: Final = tuple([field.name for field in fields(JournalLine)][:-2])


def journal_of(journal_id: str) -> JournalLine | None:
    """One journal, or None."""
    return next(iter(_read(_BY_ID, [journal_id])), None)


def journals_of(*, correlation_id: str = "", payment_id: str = "", entry_id: str = "") -> list[JournalLine]:
    """The journals of a correlation id, a payment or an entry, oldest first; exactly one of the three is given.

    At most 500: no payment has more.
    """
    given = [
        (query, value)
        for query, value in ((_BY_CORRELATION, correlation_id), (_BY_PAYMENT, payment_id), (_BY_ENTRY, entry_id))
        if value
    ]
    if len(given) != 1:
        raise ValueError("journals are looked up by exactly one of correlation_id, payment_id and entry_id")
    [(query, value)] = given
    return _read(query, [value, JOURNALS_MAX])


def _read(query: str, parameters: Sequence[str | int]) -> list[JournalLine]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows = cursor.fetchall()
    return [_journal(*row) for row in rows]


def _journal(*row: Any) -> JournalLine:
    *facts, metadata, postings = row
    values = {**dict(zip(_FACTS, facts, strict=True)), "metadata": json.loads(metadata), "postings": _lines(postings)}
    return JournalLine(**{**values, "hash": bytes(values["hash"])})


def _lines(postings: str) -> tuple[PostingLine, ...]:
    return tuple([PostingLine(line[0], line[1], int(line[2]), int(line[3])) for line in json.loads(postings)])
