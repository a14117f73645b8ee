"""The whole ledger as a file for auditors: one line per posting, in stream order, with each journal's hash.

CSV always; Parquet where `pyarrow` is installed. The file is written range by range, so memory does not grow with
the ledger, and its sha256 is written beside it. Texts that a spreadsheet would run as a formula are quoted.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

from django.db import connection

from billing.domain.errors import Refused

RANGE_JOURNALS: Final = 2_000
COLUMNS: Final = (
    "stream",
    "sequence",
    "journal_id",
    "kind",
    "key",
    "recorded_at",
    "effective_at",
    "correlation_id",
    "entry_id",
    "reverses",
    "hash",
    "line",
    "account",
    "denomination",
    "amount",
    "balance_after",
)
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")

_LINES: Final = """
SELECT j.stream, j.sequence, j.id, j.kind, j.key, j.recorded_at, j.effective_at, j.correlation_id,
       coalesce(j.entry_id, ''), coalesce(j.reverses, ''), encode(j.hash, 'hex'), p.line, a.name, a.denomination,
       p.amount, p.balance_after
FROM billing.journal j
LEFT JOIN billing.posting p ON p.journal_id = j.id
LEFT JOIN billing.account a ON a.id = p.account_id
WHERE j.stream = %s AND j.sequence > %s AND j.sequence <= %s
ORDER BY j.sequence, p.line
"""


@dataclass(frozen=True, slots=True)
class Export:
    """What was written, and the checksum that proves it is still what was written."""

    path: Path
    line_count: int
    sha256: str


def export_csv(path: Path) -> Export:
    """Write the ledger as CSV and its checksum beside it (`<name>.sha256`, as `sha256sum -c` reads it)."""
    count = 0
    with path.open("wb") as raw:
        hashed = _HashingText(raw)
        writer = csv.writer(hashed, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in ledger_lines():
            writer.writerow([_cell(value) for value in row])
            count += 1
        digest = hashed.hexdigest()
    return _with_checksum(path, count, digest)


def export_parquet(path: Path) -> Export:
    """Write the ledger as Parquet and its checksum beside it: texts, times with zone, and amounts as 64-bit integers.

    Raises Refused when `pyarrow` is not installed (`loa-django[parquet]`).
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise Refused(detail="Parquet needs the package pyarrow: install loa-django[parquet]") from error
    kinds = {"stream": "int64", "sequence": "int64", "line": "int64", "amount": "int64", "balance_after": "int64"}
    zoned = arrow.timestamp("us", tz="UTC")
    # Named, not guessed: a range of journals without postings would make a column of nothing.
    schema = arrow.schema(
        [(name, zoned if name.endswith("_at") else arrow.type_for_alias(kinds.get(name, "string"))) for name in COLUMNS]
    )
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _ranges():
            columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
            writer.write_table(arrow.table({name: list(values) for name, values in columns.items()}, schema=schema))
            count += len(rows)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _with_checksum(path, count, digest)


def ledger_lines() -> Iterator[tuple[Any, ...]]:
    """Every posting with its journal, by stream and sequence; a journal without postings is one line."""
    for rows in _ranges():
        yield from rows


def _ranges() -> Iterator[Sequence[tuple[Any, ...]]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, sequence FROM billing.stream ORDER BY id")
        heads = cursor.fetchall()
    for stream, last in heads:
        for start in range(0, last, RANGE_JOURNALS):
            with connection.cursor() as cursor:
                cursor.execute(_LINES, [stream, start, min(start + RANGE_JOURNALS, last)])
                rows = cursor.fetchall()
            if rows:
                yield rows


class _HashingText:
    """A text file that csv can write to, which hashes every byte it passes on."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._hash = raw, hashlib.sha256()

    def write(self, text: str) -> int:
        encoded = text.encode()
        self._hash.update(encoded)
        return self._raw.write(encoded)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _cell(value: object) -> object:
    plain = _plain(value)
    if isinstance(plain, str) and plain.startswith(FORMULA_STARTS):
        return "'" + plain
    return plain


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _with_checksum(path: Path, line_count: int, digest: str) -> Export:
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return Export(path, line_count, digest)
