"""Opening balances: what accounts held before this ledger began, brought in once and by two people.

A file has the columns account, denomination and amount (a whole number of atomic units, credit positive). Each line
becomes one journal against `system:opening` with an approval of its own, asked for by the maker and granted by the
checker. The key of a line is its account and denomination, so that a file that is imported again adds nothing, and
one with another amount is refused.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.db import connection

from billing.domain import posting_rules
from billing.domain.errors import ApprovalInvalid, InvalidJournal, Refused
from billing.domain.journal import Journal, JournalKind, Result
from billing.services.append_journal import append
from billing.services.outcomes import require_written

COLUMNS: Final = ("account", "denomination", "amount")
APPROVAL_SECONDS: Final = 24 * 3600
LINES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class OpeningLine:
    """One account's opening balance; credit positive."""

    account: str
    denomination: str
    amount: int

    @property
    def key(self) -> str:
        """The idempotency key: one opening balance per account and denomination."""
        return f"opening:{hashlib.sha256(f'{self.account}|{self.denomination}'.encode()).hexdigest()[:40]}"

    @property
    def approval_id(self) -> str:
        """The approval's id, which depends on the amount too: another amount needs another approval."""
        text = f"{self.account}|{self.denomination}|{self.amount}"
        return f"apr_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def read_opening_balances(path: Path) -> list[OpeningLine]:
    """The lines of a file, every one of them checked before any is used. Raises InvalidJournal naming the line."""
    lines = list(_parsed(path))
    if len({(line.account, line.denomination) for line in lines}) != len(lines):
        raise InvalidJournal(detail="an account occurs twice in one denomination")
    return lines


def request_opening(lines: list[OpeningLine], *, maker: str, reason: str) -> int:
    """Ask for an approval of every line; how many are new. Nothing is booked."""
    asked = 0
    with connection.cursor() as cursor:
        for line in lines:
            cursor.execute("SELECT 1 FROM billing.approval WHERE id = %s", [line.approval_id])
            if cursor.fetchone():
                continue
            cursor.execute(
                "SELECT billing.request_approval(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    *(line.approval_id, JournalKind.OPENING_BALANCE, line.account, line.denomination),
                    *(abs(line.amount), line.account, reason, maker, APPROVAL_SECONDS),
                ],
            )
            asked += 1
    return asked


def import_opening(lines: list[OpeningLine], *, checker: str) -> list[Result]:
    """Grant every line's approval and book it; lines that are booked already answer `exists`.

    Raises ApprovalInvalid for a line that was not asked for, or that the checker asked for; Refused as the ledger
    answers. Lines before the refused one stay booked: importing the corrected file goes on from there.
    """
    results = []
    for line in lines:
        _grant(line, checker=checker)
        [result] = append([_journal_of(line)])
        results.append(require_written(result))
    return results


def _grant(line: OpeningLine, *, checker: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing.grant_approval(%s, %s)", [line.approval_id, checker])
        verdict = cursor.fetchone()[0]
    if verdict not in ("ok", "granted_already"):
        raise ApprovalInvalid(approval_id=line.approval_id, account=line.account, detail=verdict)


def _journal_of(line: OpeningLine) -> Journal:
    return Journal(
        kind=JournalKind.OPENING_BALANCE,
        key=line.key,
        postings=posting_rules.opening_balance(
            denomination=line.denomination, account=line.account, amount=line.amount
        ),
        approval_id=line.approval_id,
        metadata={"target": line.account, "destination": line.account},
    )


def _parsed(path: Path) -> Iterator[OpeningLine]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InvalidJournal(detail=f"the columns must be {', '.join(COLUMNS)}")
        for number, row in enumerate(reader, start=2):
            if number > LINES_MAX:
                raise Refused(detail=f"a file has at most {LINES_MAX} lines")
            text = row["amount"] or ""
            digits = text.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and digits.lstrip("0") == digits and len(digits) <= 19):
                raise InvalidJournal(line=number, detail=f"{text!r} is no whole amount other than zero")
            if not row["account"] or not row["denomination"]:
                raise InvalidJournal(line=number, detail="account and denomination must not be empty")
            yield OpeningLine(row["account"], row["denomination"], int(text))
