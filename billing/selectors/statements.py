"""An account's statement, page by page, with the running balance.

Pages are found by key: the cursor names the last line of the page before, and the next page starts after it, so a
page in the middle of a million postings costs what the first one costs. A user account is read in the order of its
versions. A system account has one shard per stream; its lines are in the order they were recorded in, and its running
balance is each shard's own: a total over shards has no order that all readers would agree on.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

PAGE_MAX: Final = 100

# Versions have no gaps, so a page is a range of them. Asked for the newest so many in order instead, the planner, which
# knows how few postings most accounts have, reads all of the busiest one's.
_PAGE: Final = """
SELECT p.shard, p.version, p.journal_id, p.line, j.kind, j.correlation_id, j.effective_at, j.recorded_at, p.amount,
       p.balance_after
FROM billing.account a
JOIN billing.balance b ON b.account_id = a.id
CROSS JOIN LATERAL (
    SELECT coalesce((%(before)s::jsonb ->> b.shard::text)::bigint, b.version + 1) AS version
) end_of
CROSS JOIN LATERAL (
    SELECT * FROM billing.posting p
    WHERE p.account_id = a.id AND p.shard = b.shard
      AND p.version < end_of.version AND p.version >= end_of.version - %(limit)s
) p
JOIN billing.journal j ON j.id = p.journal_id
WHERE a.name = %(account)s AND a.denomination = %(denomination)s
ORDER BY j.recorded_at DESC, p.shard, p.version DESC LIMIT %(limit)s
"""


class InvalidCursor(ValueError):
    """Raised when a page cursor was not made by this module."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting of the account; newest first."""

    shard: int
    version: int
    journal_id: str
    line: int
    kind: str
    correlation_id: str
    effective_at: datetime
    recorded_at: datetime
    amount: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class StatementPage:
    """Some lines, newest first, and the cursor of the older page; empty when there is none."""

    lines: tuple[StatementLine, ...]
    next_cursor: str


def statement_of(account: str, denomination: str, *, cursor: str = "", limit: int = 50) -> StatementPage:
    """A page of the account's statement, newest first. Raises InvalidCursor."""
    before = _decode(cursor)
    size = max(1, min(limit, PAGE_MAX))
    with connection.cursor() as database:
        database.execute(
            _PAGE,
            {"account": account, "denomination": denomination, "before": json.dumps(before), "limit": size + 1},
        )
        lines = [StatementLine(*row) for row in database.fetchall()]
    page = lines[:size]
    if len(lines) <= size:
        return StatementPage(tuple(page), "")
    for line in page:
        before[str(line.shard)] = line.version
    return StatementPage(tuple(page), _encode(before))


def _encode(before: dict[str, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(before, separators=(",", ":")).encode()).decode()


def _decode(cursor: str) -> dict[str, int]:
    if not cursor:
        return {}
    try:
        before = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor(cursor[:80]) from error
    is_valid = isinstance(before, dict) and all(
        shard.isascii() and shard.isdigit() and type(version) is int and 0 < version < 2**63
        for shard, version in before.items()
    )
    if not is_valid:
        raise InvalidCursor(cursor[:80])
    return dict(before)
