"""Closed months of the ledger as files that prove themselves: Parquet, with a manifest that the next month follows.

A month is one file of journals in stream order. Each row carries the very text that its hash was made of, so whoever
has the file alone can follow every stream's chain from the hash before its first journal to that of its last; the
manifest names both, and the next month's manifest must begin where it ended. The rows stay in the database: keys that
come again, balances at a moment and the chain itself need them (ADR 0040).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from django.db import connection

from billing.domain.errors import Refused

RANGE_JOURNALS: Final = 2_000
COLUMNS: Final = (
    *("stream", "sequence", "journal_id", "recorded_at", "kind", "key"),
    *("previous_hash", "hash", "canonical", "postings"),
)
_JOURNALS: Final = """
SELECT j.stream, j.sequence, j.id, j.recorded_at, j.kind, j.key, encode(j.previous_hash, 'hex'), encode(j.hash, 'hex'),
       billing.canonical_journal(j, coalesce(l.text, '')), coalesce(l.lines, '[]')
FROM billing.journal j LEFT JOIN LATERAL (
    SELECT string_agg(concat(p.account_id, ',', p.shard, ',', p.version, ',', p.amount, ',', p.balance_after, ';'), ''
                      ORDER BY p.line) AS text,
           json_agg(json_build_array(a.name, a.denomination, p.amount::text, p.balance_after::text)
                    ORDER BY p.line)::text AS lines
    FROM billing.posting p JOIN billing.account a ON a.id = p.account_id WHERE p.journal_id = j.id) l ON true
WHERE j.stream = %s AND j.sequence > %s AND j.sequence <= %s ORDER BY j.sequence
"""
_RECORDED_AT: Final = "SELECT recorded_at FROM billing.journal WHERE stream = %s AND sequence = %s"
_HASHES: Final = (
    "SELECT encode(previous_hash, 'hex'), encode(hash, 'hex') FROM billing.journal WHERE stream = %s AND sequence = %s"
)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """The month a moment lies in."""
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """`2026-11` as a month. Raises Refused.

        >>> Month.parse("2026-12").following
        Month(year=2027, number=1)
        """
        year, _, number = text.partition("-")
        if not (year.isdigit() and number.isdigit() and 1 <= int(number) <= 12):
            raise Refused(month=text, detail="a month is written like 2026-11")
        return cls(int(year), int(number))

    @property
    def following(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def begins_at(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


@dataclass(frozen=True, slots=True)
class Archive:
    """One month's file and what its manifest says."""

    month: Month
    path: Path
    journals: int
    postings: int
    sha256: str
    streams: Mapping[str, Mapping[str, Any]]


def months_to_archive(folder: Path) -> list[Month]:
    """The months that are over and have no manifest in the folder, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(j.recorded_at), date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')"
            " FROM billing.stream s JOIN billing.journal j ON j.stream = s.id AND j.sequence = 1"
        )
        first, current = cursor.fetchone()
    if first is None:
        return []
    month, ends = Month.of(first), Month(current.year, current.month)
    months = []
    while month < ends:
        if not manifest_path(folder, month).exists():
            months.append(month)
        month = month.following
    return months


def archive_month(folder: Path, month: Month) -> Archive:
    """Write a month that is over. Reads range by range; memory does not grow with the month.

    Raises Refused for a month that is not over, and without `pyarrow` (`loa-django[parquet]`).
    """
    _require_over(month)
    arrow, parquet = _arrow()
    kinds = {"stream": "int64", "sequence": "int64"}
    zoned = arrow.timestamp("us", tz="UTC")
    schema = arrow.schema(
        [
            (name, zoned if name == "recorded_at" else arrow.type_for_alias(kinds.get(name, "string")))
            for name in COLUMNS
        ]
    )
    path, journals, postings = folder / f"ledger-{month}.parquet", 0, 0
    unfinished = path.with_suffix(".unfinished")
    streams: dict[str, dict[str, Any]] = {}
    with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for stream, first, last in _ranges_of(month):
            for start in range(first, last + 1, RANGE_JOURNALS):
                rows = _rows(stream, start - 1, min(start - 1 + RANGE_JOURNALS, last))
                columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
                writer.write_table(arrow.table(columns, schema=schema))
                journals += len(rows)
                postings += sum(len(json.loads(row[9])) for row in rows)
            streams[str(stream)] = _span(stream, first, last)
    with unfinished.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    unfinished.rename(path)
    archive = Archive(month, path, journals, postings, digest, streams)
    _write_manifest(folder, archive)
    return archive


def archives_in(folder: Path) -> list[Archive]:
    """What the folder holds, oldest first."""
    found = []
    for path in sorted(folder.glob("ledger-*.json")):
        text = json.loads(path.read_text(encoding="utf-8"))
        month = Month.parse(text["month"])
        counts = (text["journals"], text["postings"], text["sha256"], text["streams"])
        found.append(Archive(month, folder / text["file"], *counts))
    return sorted(found, key=lambda archive: archive.month)


def findings_of(archives: Sequence[Archive], *, with_database: bool = True) -> Iterator[str]:
    """What is wrong with the archives, one sentence each: files, chains, sums, and how months follow each other."""
    heads: dict[str, tuple[int, str]] = {}
    for archive in archives:
        if not archive.path.exists():
            yield f"{archive.month}: the file is missing"
            continue
        with archive.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != archive.sha256:
                yield f"{archive.month}: the file is not the one that was written"
                continue
        yield from _chain_findings(archive, heads)
        for stream, span in archive.streams.items():
            if heads.get(stream) != (span["last_sequence"], span["last_hash"]):
                yield f"{archive.month}: stream {stream} does not end where its manifest says"
            elif with_database and _hashes(int(stream), span["last_sequence"])[1] != span["last_hash"]:
                yield f"{archive.month}: stream {stream} of the database has another history"


def manifest_path(folder: Path, month: Month) -> Path:
    """Where a month's manifest is."""
    return folder / f"ledger-{month}.json"


def _chain_findings(archive: Archive, heads: dict[str, tuple[int, str]]) -> Iterator[str]:
    _, parquet = _arrow()
    with parquet.ParquetFile(archive.path) as file:
        for batch in file.iter_batches(RANGE_JOURNALS, columns=[*COLUMNS[:2], *COLUMNS[6:]]):
            for row in batch.to_pylist():
                stream, place = str(row["stream"]), f"{archive.month}: journal {row['sequence']} of {row['stream']}"
                before = heads.get(stream, (row["sequence"] - 1, row["previous_hash"]))
                if (row["sequence"] - 1, row["previous_hash"]) != before:
                    yield f"{place} does not follow the one before it"
                content = bytes.fromhex(row["previous_hash"]) + row["canonical"].encode()
                if hashlib.sha256(content).hexdigest() != row["hash"]:
                    yield f"{place} is not what was hashed"
                yield from _sum_findings(place, json.loads(row["postings"]))
                heads[stream] = (row["sequence"], row["hash"])


def _sum_findings(place: str, postings: Sequence[Sequence[str]]) -> Iterator[str]:
    sums: dict[str, int] = {}
    for _, denomination, amount, _ in postings:
        sums[denomination] = sums.get(denomination, 0) + int(amount)
    if any(sums.values()):
        yield f"{place} does not sum to zero"


def _ranges_of(month: Month) -> Iterator[tuple[int, int, int]]:
    """(stream, first, last) of every stream that recorded something in the month."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, sequence FROM billing.stream ORDER BY id")
        heads = cursor.fetchall()
    for stream, head in heads:
        first = _first_from(stream, head, month.begins_at)
        last = _first_from(stream, head, month.following.begins_at) - 1
        if first <= last:
            yield stream, first, last


def _first_from(stream: int, head: int, moment: datetime) -> int:
    """The first journal recorded at or after the moment; a stream's times never go back, so halving finds it."""
    low, high = 1, head + 1
    with connection.cursor() as cursor:
        while low < high:
            middle = (low + high) // 2
            cursor.execute(_RECORDED_AT, [stream, middle])
            if cursor.fetchone()[0] < moment:
                low = middle + 1
            else:
                high = middle
    return low


def _span(stream: int, first: int, last: int) -> dict[str, Any]:
    return {
        "first_sequence": first,
        "last_sequence": last,
        "previous_hash": _hashes(stream, first)[0],
        "last_hash": _hashes(stream, last)[1],
    }


def _hashes(stream: int, sequence: int) -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(_HASHES, [stream, sequence])
        row = cursor.fetchone()
    return (row[0], row[1]) if row else ("", "")


def _rows(stream: int, after: int, until: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_JOURNALS, [stream, after, until])
        return list(cursor.fetchall())


def _require_over(month: Month) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s <= clock_timestamp() - interval '1 minute'", [month.following.begins_at])
        if not cursor.fetchone()[0]:
            raise Refused(month=str(month), detail="only a month that is over is archived")


def _write_manifest(folder: Path, archive: Archive) -> None:
    facts = {
        "month": str(archive.month),
        "file": archive.path.name,
        "sha256": archive.sha256,
        "journals": archive.journals,
        "postings": archive.postings,
        "streams": archive.streams,
    }
    manifest = manifest_path(folder, archive.month)
    unfinished = manifest.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(manifest)


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise Refused(detail="archives need the package pyarrow: install loa-django[parquet]") from error
