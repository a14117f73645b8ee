"""The transactional outbox: an event exists exactly when what it tells of was committed.

`publish` writes an event in the caller's own transaction. What the ledger books needs no such call: its journals are
numbered without gaps in each stream, so `relay_journals` reads them in order behind a cursor and writes their events in
the transaction that moves the cursor. An append pays nothing for it, and no journal is missed or told twice.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection, transaction

from billing.domain import accounts
from billing.domain.journal import JournalKind
from billing.domain.webhook_events import EventType
from billing.services import wake_ups
from telemetry import names
from telemetry.configuration import loa
from telemetry.correlation import correlation_id as current_correlation_id
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)

JOURNALS_MAX: Final = 500  # of one stream in one run
EXPIRING_HOURS: Final = 24
EXPIRING_MAX: Final = 500
KEPT_DAYS: Final = 30
FORGOTTEN_MAX: Final = 1_000

_TOLD: Final = (
    JournalKind.X402_SETTLED,
    JournalKind.CREDIT_MINT,
    JournalKind.BILLING_COMMIT,
    JournalKind.BILLING_RESERVE,
    JournalKind.BILLING_VOID,
    JournalKind.CREDIT_NOTE_OWED,
    JournalKind.CREDIT_NOTE_REFUND_PAID,
    JournalKind.CREDIT_NOTE_REFUND_FAILED,
    JournalKind.MANUAL_CREDIT,
)
_NEW_STREAMS: Final = (
    "INSERT INTO billing_outboxcursor (stream, sequence) SELECT id, 0 FROM billing.stream"
    " WHERE NOT EXISTS (SELECT FROM billing_outboxcursor c WHERE c.stream = id) ON CONFLICT DO NOTHING"
)
_BEHIND: Final = (
    "SELECT c.stream, c.sequence, least(s.sequence, c.sequence + %s)"
    " FROM billing_outboxcursor c JOIN billing.stream s ON s.id = c.stream WHERE s.sequence > c.sequence"
    " ORDER BY c.stream FOR UPDATE OF c SKIP LOCKED"
)
_JOURNALS: Final = (
    "SELECT id, kind, entry_id, correlation_id, metadata, recorded_at FROM billing.journal"
    " WHERE stream = %s AND sequence > %s AND sequence <= %s AND kind = ANY (%s) ORDER BY sequence"
)
_POSTINGS: Final = (
    "SELECT p.journal_id, a.name, a.denomination, p.amount, p.balance_after"
    " FROM billing.posting p JOIN billing.account a ON a.id = p.account_id WHERE p.journal_id = ANY (%s)"
)
_NOTES: Final = (
    "SELECT journal_id, id, wallet, denomination, kind, amount, expires_at, source"
    " FROM billing.credit_note WHERE journal_id = ANY (%s) ORDER BY number"
)
_WRITE: Final = (
    "INSERT INTO billing_outboxevent (id, type, key, payload, correlation_id, created_at)"
    " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::text[],"
    " array_fill(clock_timestamp(), ARRAY[%s]))"
    " ON CONFLICT (key) DO NOTHING RETURNING id"
)
_EXPIRING: Final = (
    "SELECT id, wallet, denomination, remaining, expires_at, source FROM billing.credit_note n"
    " WHERE remaining > 0 AND expires_at > clock_timestamp()"
    " AND expires_at <= clock_timestamp() + make_interval(hours => %s)"
    " AND NOT EXISTS (SELECT FROM billing_outboxevent e"
    " WHERE e.key = 'expiring:' || n.id || ':' || extract(epoch FROM n.expires_at)::bigint)"
    " ORDER BY expires_at LIMIT %s"
)
_FORGET: Final = (
    "DELETE FROM billing_outboxevent WHERE id = ANY (ARRAY(SELECT e.id FROM billing_outboxevent e"
    " WHERE e.created_at < clock_timestamp() - make_interval(days => %s)"
    " AND NOT EXISTS (SELECT FROM billing_webhookdelivery d WHERE d.event_id = e.id AND d.state = 'pending')"
    " ORDER BY e.created_at LIMIT %s)) RETURNING id"
)


@dataclass(frozen=True, slots=True)
class _Event:
    type: EventType
    key: str
    payload: Mapping[str, object]
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """A journal that may have something to tell, with what belongs to it."""

    id: str
    kind: str
    entry_id: str | None
    correlation_id: str
    metadata: Mapping[str, Any]
    recorded_at: str
    postings: list[tuple[str, str, int, int]] = field(default_factory=list)
    notes: list[tuple[Any, ...]] = field(default_factory=list)


def publish(event_type: EventType, payload: Mapping[str, object], *, key: str) -> bool:
    """Write an event in the caller's transaction; whether it is new. Amounts in `payload` are decimal strings.

    `key` names what happened: a second writing with the same key changes nothing. Receivers are told after the commit.
    """
    return bool(_write([_Event(event_type, key, payload, current_correlation_id())]))


def relay_journals(*, limit: int = JOURNALS_MAX) -> int:
    """Write the events of journals behind the cursors; how many journals were passed.

    Locks each stream's cursor with SKIP LOCKED, so that two workers never read the same journals.
    """
    passed = 0
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_NEW_STREAMS)
        cursor.execute(_BEHIND, [limit])
        for stream, start, end in cursor.fetchall():
            told = _told(cursor, stream=stream, start=start, end=end)
            _write([event for journal in told for event in _events_of(journal)])
            cursor.execute("UPDATE billing_outboxcursor SET sequence = %s WHERE stream = %s", [end, stream])
            passed += end - start
    return passed


def announce_expiring(*, limit: int = EXPIRING_MAX) -> int:
    """Write an event for each note of kind `change` that expires within a day and was not announced; how many."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_EXPIRING, [EXPIRING_HOURS, limit])
        notes = cursor.fetchall()
        return len(
            _write(
                [
                    _Event(
                        EventType.CREDIT_NOTE_EXPIRING,
                        # A note can be revived with a later end, and is then announced again.
                        f"expiring:{note_id}:{int(expires_at.timestamp())}",
                        {
                            "credit_note_id": note_id,
                            "wallet": wallet,
                            "denomination": denomination,
                            "remaining": str(remaining),
                            "expires_at": expires_at.isoformat(),
                            "source": source,
                        },
                    )
                    for note_id, wallet, denomination, remaining, expires_at, source in notes
                ]
            )
        )


def forget_old(*, limit: int = FORGOTTEN_MAX) -> int:
    """Delete events of more than thirty days ago that nobody waits for; how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM billing_webhookdelivery WHERE id IN (SELECT d.id FROM billing_webhookdelivery d"
            " WHERE d.state <> 'pending' AND d.created_at < clock_timestamp() - make_interval(days => %s)"
            " ORDER BY d.id LIMIT %s)",
            [KEPT_DAYS, limit],
        )
        cursor.execute(_FORGET, [KEPT_DAYS, limit])
        return len(cursor.fetchall())


def _write(events: Sequence[_Event]) -> list[str]:
    if not events:
        return []
    ids = [new_id("evt") for _ in events]
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            [
                ids,
                [event.type.value for event in events],
                [event.key for event in events],
                [json.dumps(event.payload) for event in events],
                [event.correlation_id for event in events],
                len(events),
            ],
        )
        written = [row[0] for row in cursor.fetchall()]
    if written:
        transaction.on_commit(lambda: wake_ups.wake(wake_ups.DELIVER_WEBHOOKS))
        log.debug(names.EVENTS_PUBLISHED, events=len(written))
    return written


def _told(cursor: Any, *, stream: int, start: int, end: int) -> list[_Told]:
    cursor.execute(_JOURNALS, [stream, start, end, [kind.value for kind in _TOLD]])
    told = {
        journal_id: _Told(journal_id, kind, entry_id, correlation, _decoded(metadata), recorded_at.isoformat())
        for journal_id, kind, entry_id, correlation, metadata, recorded_at in cursor.fetchall()
    }
    if told:
        cursor.execute(_POSTINGS, [list(told)])
        for journal_id, *posting in cursor.fetchall():
            told[journal_id].postings.append(tuple(posting))
        cursor.execute(_NOTES, [list(told)])
        for journal_id, *note in cursor.fetchall():
            told[journal_id].notes.append(tuple(note))
    return list(told.values())


def _events_of(journal: _Told) -> Iterator[_Event]:
    correlation = journal.correlation_id
    # A purchase is settled by the journal that mints its credit; credit that nobody paid on a chain has no payment.
    is_purchase = journal.kind == JournalKind.CREDIT_MINT and journal.metadata.get("payment_id")
    if journal.kind == JournalKind.X402_SETTLED or is_purchase:
        payload = _settled(journal)
        yield _Event(EventType.PAYMENT_SETTLED, f"settled:{journal.id}", payload, correlation)
    if journal.kind == JournalKind.CREDIT_NOTE_REFUND_PAID:
        yield _Event(EventType.REFUND_PAID, f"refund_paid:{journal.id}", _refund(journal), correlation)
    for note_id, wallet, denomination, kind, amount, expires_at, source in journal.notes:
        payload = {
            "credit_note_id": note_id,
            "kind": kind,
            "wallet": wallet,
            "denomination": denomination,
            "amount": str(amount),
            "expires_at": expires_at.isoformat() if expires_at else None,
            "source": source,
        }
        yield _Event(EventType.CREDIT_NOTE_ISSUED, f"issued:{note_id}", payload, correlation)
    yield from _low_balances(journal)


def _settled(journal: _Told) -> dict[str, object]:
    arrived = [posting for posting in journal.postings if posting[0].startswith(accounts.RECEIVED)]
    _, denomination, amount, _ = arrived[0]
    chain = {name: journal.metadata.get(name) for name in ("payment_id", "tx_hash", "block_number", "log_index")}
    return {**chain, "denomination": denomination, "amount": str(-amount), "settled_at": journal.recorded_at}


def _refund(journal: _Told) -> dict[str, object]:
    amount, denomination = next((amount, denomination) for _, denomination, amount, _ in journal.postings if amount > 0)
    facts = {name: journal.metadata.get(name) for name in ("refund_id", "tx_hash", "log_index")}
    return {**facts, "denomination": denomination, "amount": str(amount), "paid_at": journal.recorded_at}


def _low_balances(journal: _Told) -> Iterator[_Event]:
    """A prepaid balance that this journal took below the mark; one that was below already was announced then."""
    mark = loa("KEY_LOW_BALANCE_MICRO_USD")
    for name, denomination, amount, balance in journal.postings:
        account_id = accounts.account_of_available(name)
        if account_id and denomination == accounts.PREPAID and balance < mark <= balance - amount:
            payload = {"account_id": account_id, "balance_micro_usd": str(balance), "mark_micro_usd": str(mark)}
            yield _Event(EventType.KEY_LOW_BALANCE, f"low:{journal.id}", payload, journal.correlation_id)


def _decoded(metadata: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Django's connections hand jsonb over as text."""
    decoded: Mapping[str, Any] = json.loads(metadata) if isinstance(metadata, str) else metadata
    return decoded
