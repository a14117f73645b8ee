"""The part of the ledger's proof that walks the streams: order, hashes, wholeness, births.

Each stream is read in ranges of journals, each range with one statement that recomputes every hash and returns one
row, so that memory does not grow with the ledger. A journal's hash covers the one before it, its own fields and
every posting; the text hashed is billing.canonical_journal, spelled out here because a call per journal costs more
than the hash (a test compares the two). Postings are read journal by journal through their key: joined as a whole they
would have to be sorted back, and with many accounts every range would read all of those.
"""

from dataclasses import dataclass
from typing import Final

from django.db.backends.utils import CursorWrapper

from billing.services.verification_findings import CheckResult, Finding

STREAMS: Final = "streams"
SEGMENT_JOURNALS: Final = 100_000  # seconds of work: short enough to share out evenly, too long for the cutting to cost
RANGE_JOURNALS: Final = 2_000  # a few megabytes in the server, some tens of milliseconds; longer ranges are no faster

_RANGE: Final = """
WITH judged AS (
    SELECT j.id, j.sequence, j.hash, j.recorded_at, j.posting_count, CASE
        WHEN j.sequence <> j.sequence_before + 1 THEN 'journals are missing before it'
        WHEN j.previous_hash <> j.hash_before THEN 'it does not follow the journal before it'
        WHEN j.recorded_at < j.recorded_before THEN 'it is recorded before its predecessor'
        WHEN l.line_count <> j.posting_count OR coalesce(l.last_line, 0) <> j.posting_count
            THEN 'it lacks postings or has too many'
        WHEN k.kind IS NULL OR k.has_postings <> (j.posting_count > 0) THEN 'its kind is unknown or may not be so'
        WHEN l.known_accounts <> l.line_count THEN 'a posting has no account'
        WHEN l.first_denomination = l.last_denomination AND l.total <> 0 THEN 'its postings do not sum to zero'
        WHEN l.first_denomination <> l.last_denomination AND EXISTS (
            SELECT FROM billing.posting p JOIN billing.account a ON a.id = p.account_id
            WHERE p.journal_id = j.id GROUP BY a.denomination HAVING sum(p.amount) <> 0)
            THEN 'its postings do not sum to zero in every denomination'
        WHEN j.hash <> sha256(j.previous_hash || convert_to(concat(
            j.stream, ',', j.sequence, ',', (extract(epoch FROM j.effective_at) * 1000000)::bigint, ',',
            (extract(epoch FROM j.recorded_at) * 1000000)::bigint, ',', encode(j.body_hash, 'hex'), ',',
            octet_length(j.id), ':', j.id, octet_length(j.kind), ':', j.kind,
            octet_length(j.key), ':', j.key, octet_length(j.correlation_id), ':', j.correlation_id,
            octet_length(j.facts), ':', j.facts,
            coalesce(octet_length(j.entry_id), 0), ':', j.entry_id,
            coalesce(octet_length(j.approval_id), 0), ':', j.approval_id,
            coalesce(octet_length(j.reverses), 0), ':', j.reverses,
            j.posting_count, ';', l.text), 'UTF8'))
            THEN 'its hash does not fit its content'
        WHEN i.key IS NULL THEN 'its idempotency key is missing or names another journal'
        END AS reason
    FROM (
        SELECT j.*, j.metadata::text AS facts,
               lag(j.hash, 1, %(hash)s::bytea) OVER following AS hash_before,
               lag(j.sequence, 1, %(sequence)s::bigint) OVER following AS sequence_before,
               lag(j.recorded_at, 1, %(recorded_at)s::timestamptz) OVER following AS recorded_before
        FROM billing.journal j
        WHERE j.stream = %(stream)s AND j.sequence > %(sequence)s AND j.sequence <= %(sequence)s + %(length)s
        WINDOW following AS (ORDER BY j.sequence)
    ) j
    LEFT JOIN LATERAL (
        SELECT count(*) AS line_count, max(p.line) AS last_line, sum(p.amount) AS total,
               min(a.denomination) AS first_denomination, max(a.denomination) AS last_denomination,
               count(a.id) AS known_accounts,
               string_agg(concat(p.account_id, ',', p.shard, ',', p.version, ',', p.amount, ',', p.balance_after, ';'),
                          '' ORDER BY p.line) AS text
        FROM billing.posting p
        LEFT JOIN billing.account a ON a.id = p.account_id
        WHERE p.journal_id = j.id
    ) l ON true
    LEFT JOIN billing.journal_kind k ON k.kind = j.kind
    LEFT JOIN billing.idempotency_key i ON i.key = j.key AND i.journal_id = j.id AND i.body_hash = j.body_hash
)
SELECT count(*), coalesce(sum(posting_count), 0), max(sequence), (array_agg(hash ORDER BY sequence DESC))[1],
       max(recorded_at), min(ARRAY[lpad(sequence::text, 20, '0'), id, reason]) FILTER (WHERE reason IS NOT NULL)
FROM judged
"""

# One index seek per stream number that occurs, whatever the number of journals.
_STRAY: Final = """
WITH RECURSIVE numbers AS (
    (SELECT stream FROM billing.journal ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (SELECT j.stream FROM billing.journal j WHERE j.stream > n.stream ORDER BY j.stream LIMIT 1)
    FROM numbers n WHERE n.stream IS NOT NULL
)
SELECT (SELECT min(j.id) FROM billing.journal j WHERE j.stream = n.stream AND j.sequence = (
            SELECT min(f.sequence) FROM billing.journal f WHERE f.stream = n.stream))
FROM numbers n
WHERE n.stream IS NOT NULL AND NOT EXISTS (SELECT FROM billing.stream s WHERE s.id = n.stream) LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class _Position:
    sequence: int
    hash: bytes
    recorded_at: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one stream that can be proved apart from the rest: after `start`, up to and with `end`.

    What it follows is read from its predecessor's row, which the segment before proves. `head` is set on the last.
    """

    stream: int
    start: int
    end: int
    genesis: bytes
    head: bytes | None


def segments_of_streams(cursor: CursorWrapper) -> list[Segment]:
    """Every stream from its first journal to its head, cut into stretches of bounded length, in order."""
    cursor.execute(
        "SELECT id, sequence, head, sha256(convert_to('loa.stream:' || id, 'UTF8')) FROM billing.stream ORDER BY id"
    )
    segments = []
    for stream, sequence, head, genesis in cursor.fetchall():
        for start in range(0, max(sequence, 1), SEGMENT_JOURNALS):
            end = min(start + SEGMENT_JOURNALS, sequence)
            segments.append(Segment(stream, start, end, bytes(genesis), bytes(head) if end == sequence else None))
    return segments


def check_segment(cursor: CursorWrapper, segment: Segment) -> CheckResult:
    """Recompute a stretch of a stream; the rows counted are postings."""
    postings = 0
    position = _start_of(cursor, segment)
    if position is None:
        return CheckResult(STREAMS, 0, _missing(segment.stream, segment.start))
    while position.sequence < segment.end:
        reached, count, finding = _check_range(cursor, segment, position)
        postings += count
        if finding:
            return CheckResult(STREAMS, postings, finding)
        if reached is None:
            return CheckResult(STREAMS, postings, _missing(segment.stream, position.sequence + 1))
        position = reached
    if segment.head is not None and (position.sequence != segment.end or position.hash != segment.head):
        detail = f"the head at {segment.end} is not the last journal's, at {position.sequence}"
        return CheckResult(STREAMS, postings, Finding(STREAMS, f"stream {segment.stream}", detail))
    return CheckResult(STREAMS, postings, None)


def check_stream_births(cursor: CursorWrapper) -> CheckResult:
    """Every stream but the first was opened by a journal of stream 0, and every opened stream is still there."""
    cursor.execute(
        "SELECT coalesce(s.id, (j.metadata ->> 'stream')::integer), s.id IS NULL"
        " FROM (SELECT * FROM billing.stream WHERE id > 0) s"
        " FULL JOIN (SELECT * FROM billing.journal WHERE stream = 0 AND kind = 'stream_opened') j"
        " ON (j.metadata ->> 'stream')::integer = s.id"
        " WHERE s.id IS NULL OR j.id IS NULL ORDER BY 1 LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        cursor.execute(_STRAY)
        stray = cursor.fetchone()
        finding = Finding("stream_births", f"journal {stray[0]}", "its stream has no row") if stray else None
        return CheckResult("stream_births", 0, finding)
    detail = "it was opened, but its row is gone" if row[1] else "no journal of stream 0 opened it"
    return CheckResult("stream_births", 0, Finding("stream_births", f"stream {row[0]}", detail))


def _start_of(cursor: CursorWrapper, segment: Segment) -> _Position | None:
    if segment.start == 0:
        return _Position(0, segment.genesis, "-infinity")
    cursor.execute(
        "SELECT hash, recorded_at FROM billing.journal WHERE stream = %s AND sequence = %s",
        (segment.stream, segment.start),
    )
    row = cursor.fetchone()
    return _Position(segment.start, bytes(row[0]), row[1]) if row else None


def _check_range(
    cursor: CursorWrapper, segment: Segment, start: _Position
) -> tuple[_Position | None, int, Finding | None]:
    cursor.execute(
        _RANGE,
        {
            "stream": segment.stream,
            "sequence": start.sequence,
            "hash": start.hash,
            "recorded_at": start.recorded_at,
            "length": min(RANGE_JOURNALS, segment.end - start.sequence),
        },
    )
    count, postings, sequence, last_hash, recorded_at, bad = cursor.fetchone()
    if bad:
        bad_sequence, journal_id, reason = bad
        where = f"journal {journal_id} (stream {segment.stream}, sequence {int(bad_sequence)})"
        return None, int(postings), Finding(STREAMS, where, reason)
    if count == 0:
        return None, 0, None
    return _Position(sequence, bytes(last_hash), recorded_at), int(postings), None


def _missing(stream: int, sequence: int) -> Finding:
    return Finding(STREAMS, f"stream {stream}, sequence {sequence}", "the journal is missing")
