"""Anchors: signed statements of what the ledger was, kept outside the database (rule R30).

An anchor holds every stream's sequence and head, the number of journals, the trial balance, the database's timeline
and its predecessor's digest. It is signed with a key the database does not hold, stored as a row and appended to a
file, once. It is taken every ten minutes or ten thousand journals. Whoever later edits, cuts or removes what an
anchor saw is found by `ledger_verify`, which compares every anchor with the journals of today.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.db import connection, transaction

from billing.services.anchor_signers import Signer, configured_signer
from telemetry import names
from telemetry.configuration import loa
from telemetry.crash_points import crash_point
from telemetry.logging import get_logger

log = get_logger(__name__)

ANCHOR_SECONDS: Final = 600
ANCHOR_JOURNALS: Final = 10_000
ANCHORS_READ: Final = 200  # an anchor of many streams is some ten kilobytes
GENESIS: Final = hashlib.sha256(b"loa.anchor").digest()
ANCHOR_LOCK: Final = 0x10A_0A0C  # an advisory lock's number: one anchor is taken at a time


@dataclass(frozen=True, slots=True)
class Anchor:
    """A signed statement. `content` is what was signed, as plain JSON values."""

    id: int
    content: Mapping[str, Any]
    digest: bytes
    signature: bytes
    key_id: str

    def as_line(self) -> str:
        """One line of JSON, as the file outside keeps it."""
        return json.dumps(
            {
                "id": self.id,
                "content": self.content,
                "digest": self.digest.hex(),
                "signature": self.signature.hex(),
                "key_id": self.key_id,
            },
            sort_keys=True,
        )


def digest_of(content: Mapping[str, Any]) -> bytes:
    """The digest that is signed: sha256 over the content's canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def take_anchor(*, signer: Signer | None = None) -> Anchor:
    """Sign the ledger as it is now, store the anchor and append it to the file outside.

    Locks: an advisory lock, so that anchors follow each other. Raises AnchorsNotConfigured.
    """
    signer = signer or configured_signer()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ANCHOR_LOCK])
        cursor.execute("SELECT id, digest FROM billing.anchor ORDER BY id DESC LIMIT 1")
        previous = cursor.fetchone()
        content = _statement(cursor, previous_digest=bytes(previous[1]) if previous else GENESIS)
        digest = digest_of(content)
        signature = signer.sign(digest)
        cursor.execute(
            "INSERT INTO billing.anchor (taken_at, heads, journal_count, trial_balance, timeline, previous_digest,"
            " digest, signature, key_id) VALUES (to_timestamp(%s::numeric / 1000000), %s, %s, %s, %s, %s, %s, %s, %s)"
            " RETURNING id",
            [
                content["taken_at_micros"],
                json.dumps(content["heads"]),
                content["journal_count"],
                json.dumps(content["trial_balance"]),
                content["timeline"],
                bytes.fromhex(content["previous_digest"]),
                digest,
                signature,
                signer.key_id,
            ],
        )
        anchor = Anchor(cursor.fetchone()[0], content, digest, signature, signer.key_id)
    crash_point("anchor_stored")
    write_out()
    log.info(names.LEDGER_ANCHORED, anchor_id=anchor.id, journal_count=content["journal_count"], key_id=anchor.key_id)
    return anchor


def take_anchor_if_due(*, signer: Signer | None = None) -> Anchor | None:
    """Take an anchor when ten minutes or ten thousand journals have passed since the last; None when not."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT sum(sequence) FROM billing.stream), a.journal_count,"
            " a.taken_at <= clock_timestamp() - make_interval(secs => %s)"
            " FROM billing.anchor a ORDER BY a.id DESC LIMIT 1",
            [ANCHOR_SECONDS],
        )
        last = cursor.fetchone()
    if last is not None:
        now_count, then_count, is_old = last
        if now_count == then_count or not (is_old or now_count - then_count >= ANCHOR_JOURNALS):
            write_out()
            return None
    return take_anchor(signer=signer)


def write_out() -> int:
    """Append to the file outside every anchor it does not have yet; how many there were.

    A crash between the row and the line is caught up with here. Without ANCHOR_PATH nothing is written.
    """
    path = loa("ANCHOR_PATH")
    if not path:
        return 0
    last_id = _last_id_of(Path(path))
    written = 0
    with open(path, "a", encoding="ascii") as file:
        for anchor in anchors_after(last_id):
            file.write(anchor.as_line() + "\n")
            written += 1
        file.flush()
        os.fsync(file.fileno())
    return written


def anchors_after(anchor_id: int) -> Iterator[Anchor]:
    """The stored anchors after that one, in order, read some at a time."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, (extract(epoch FROM taken_at) * 1000000)::bigint, heads, journal_count, trial_balance,"
                " timeline, previous_digest, digest, signature, key_id FROM billing.anchor WHERE id > %s"
                " ORDER BY id LIMIT %s",
                [anchor_id, ANCHORS_READ],
            )
            rows = cursor.fetchall()
        for row in rows:
            yield _anchor(*row)
        if len(rows) < ANCHORS_READ:
            return
        anchor_id = rows[-1][0]


def _anchor(*row: Any) -> Anchor:
    number, taken_at, heads, count, trial_balance, timeline, previous, digest, signature, key_id = row
    content = {
        "schema_version": 1,
        "taken_at_micros": str(taken_at),
        "heads": json.loads(heads),
        "journal_count": count,
        "trial_balance": json.loads(trial_balance),
        "timeline": timeline,
        "previous_digest": bytes(previous).hex(),
    }
    return Anchor(number, content, bytes(digest), bytes(signature), key_id)


def _statement(cursor: Any, *, previous_digest: bytes) -> dict[str, Any]:
    # One statement, one snapshot: heads and balances of the same moment.
    cursor.execute(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text,"
        " (SELECT jsonb_agg(jsonb_build_array(s.id, s.sequence, encode(s.head, 'hex')) ORDER BY s.id)"
        "  FROM billing.stream s),"
        " (SELECT sum(s.sequence)::bigint FROM billing.stream s),"
        " (SELECT coalesce(jsonb_object_agg(t.line, t.total), '{}') FROM ("
        "    SELECT a.denomination || ' ' || h.name AS line, sum(b.posted)::text AS total FROM billing.balance b"
        "    JOIN billing.account a ON a.id = b.account_id JOIN billing.account_shape h ON h.number = a.shape"
        "    GROUP BY a.denomination, h.name) t),"
        " CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
    )
    taken_at, heads, count, trial_balance, timeline = cursor.fetchone()
    return {
        "schema_version": 1,
        "taken_at_micros": taken_at,
        "heads": json.loads(heads),
        "journal_count": count,
        "trial_balance": json.loads(trial_balance),
        "timeline": timeline,
        "previous_digest": previous_digest.hex(),
    }


def _last_id_of(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(path.open("rb")) as file:
        size = path.stat().st_size
        file.seek(max(0, size - 1_000_000))
        lines = file.read().splitlines()
    return int(json.loads(lines[-1])["id"]) if lines else 0
