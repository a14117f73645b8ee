"""Dead letters: what could not be done yet and must not be forgotten.

Two queues in one table: `settlement` is getting the money, `finalize` is booking what happened. The row is the
truth; a wake-up only makes it quicker, and a sweep finds what a lost wake-up forgot. A letter is worked on under a
lease by the database's clock, so that two workers never hold one letter. An attempt counts only when the entry
itself was refused; an outage gives the letter back as it was. After five refusals it is poisoned and waits for a
person, who retries or voids it with a reason. A letter whose schema this version does not know stays where it is.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Final, Literal

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from billing.domain import retries
from billing.domain.errors import LostLease, Refused, WrongState
from billing.domain.webhook_events import EventType
from billing.metrics import DEAD_LETTERS_ENQUEUED, DEAD_LETTERS_PROCESSED
from billing.services import finalize_stream, outbox, wake_ups
from telemetry import names, tracing
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from telemetry.logging import get_logger, log_metric

log = get_logger(__name__)

Queue = Literal["settlement", "finalize"]

SCHEMA_VERSION: Final = 1
KNOWN_SCHEMA_VERSIONS: Final = (1,)
LEASE_SECONDS: Final = 60  # longer than any single attempt's time-out
DUE_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 2000


class PendingRiskCap(Refused):
    """Raised when unbooked work is worth more than the limit; facts: pending, cap (MicroUSD)."""

    code = "pending_risk_cap"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row as it was read or leased."""

    id: str
    queue: str
    subject_id: str
    entry_id: str | None
    reason: str
    state: str
    attempt: int
    next_retry_at: datetime
    schema_version: int
    payload: Mapping[str, Any]
    trace_context: Mapping[str, str]
    correlation_id: str
    owner: str
    lease_until: datetime | None
    last_error: str
    resolution: str
    resolved_by: str
    created_at: datetime
    escalated_at: datetime | None
    resolved_at: datetime | None

    @property
    def is_parked(self) -> bool:
        """Whether a newer version wrote this letter, so that this one leaves it alone."""
        return self.schema_version not in KNOWN_SCHEMA_VERSIONS


def enqueue(
    *,
    queue: Queue,
    subject_id: str,
    reason: str,
    payload: Mapping[str, Any],
    correlation_id: str = "",
    trace_context: Mapping[str, str] | None = None,
    entry_id: str | None = None,
) -> str:
    """Write a dead letter in the caller's transaction, or find the open one of the same subject; its id.

    `payload` is JSON with `schema_version` 1 (added when missing). The first attempt is due after about a second.
    """
    body = {"schema_version": SCHEMA_VERSION, **payload}
    letter_id = new_id("dlq")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing.dead_letter (id, queue, subject_id, entry_id, reason, schema_version, payload,"
            " trace_context, correlation_id, next_retry_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
            " ON CONFLICT (queue, subject_id) WHERE state IN ('pending', 'poisoned')"
            " DO UPDATE SET updated_at = clock_timestamp() RETURNING id",
            [
                letter_id,
                queue,
                subject_id,
                entry_id,
                reason[:TEXT_LENGTH_MAX],
                body["schema_version"],
                json.dumps(body),
                json.dumps(dict(tracing.inject_context() if trace_context is None else trace_context)),
                correlation_id,
                retries.delay_before(1, spread=_spread()).total_seconds(),
            ],
        )
        stored_id = str(cursor.fetchone()[0])
    if stored_id == letter_id:
        DEAD_LETTERS_ENQUEUED.labels(queue=queue).inc()
        log.warning(
            names.DEAD_LETTER_ENQUEUED,
            dead_letter_id=letter_id,
            queue=queue,
            subject_id=subject_id,
            reason=reason[:TEXT_LENGTH_MAX],
            letter_correlation_id=correlation_id,
        )
        if queue == "finalize":
            transaction.on_commit(lambda: _wake_finalize(letter_id))
    return stored_id


def due(queue: Queue, limit: int = DUE_MAX, *, owner: str, lease_seconds: int = LEASE_SECONDS) -> list[DeadLetter]:
    """Lease up to `limit` letters whose time has come, oldest first, to `owner`.

    Locks the rows with SKIP LOCKED: workers that ask at once get different letters. Letters of a schema this
    version does not know are left alone.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH ready AS (SELECT id FROM billing.dead_letter"
            " WHERE queue = %s AND state = 'pending' AND next_retry_at <= clock_timestamp()"
            " AND (lease_until IS NULL OR lease_until <= clock_timestamp()) AND schema_version = ANY (%s)"
            " ORDER BY next_retry_at, id LIMIT %s FOR UPDATE SKIP LOCKED)"
            " UPDATE billing.dead_letter l SET owner = %s, lease_until = clock_timestamp() + make_interval(secs => %s),"
            " updated_at = clock_timestamp() FROM ready WHERE l.id = ready.id"
            " RETURNING l.*",
            [queue, list(KNOWN_SCHEMA_VERSIONS), min(limit, DUE_MAX), owner, lease_seconds],
        )
        letters = _letters(cursor)
    return sorted(letters, key=lambda letter: (letter.next_retry_at, letter.id))


def is_any_due(queue: Queue) -> bool:
    """Whether a letter of this queue could be leased now; one look into the index of what is due."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM billing.dead_letter WHERE queue = %s AND state = 'pending'"
            " AND next_retry_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until <= clock_timestamp())"
            " AND schema_version = ANY (%s))",
            [queue, list(KNOWN_SCHEMA_VERSIONS)],
        )
        return bool(cursor.fetchone()[0])


def record_attempt(letter: DeadLetter, *, error: str, is_refusal: bool) -> DeadLetter:
    """Note that an attempt did not end the letter, give up its lease and say when it is tried again.

    `is_refusal` means that the entry itself was refused: that counts, and the fifth one poisons the letter. An
    outage counts nothing. Raises LostLease when the letter is not its owner's any more; nothing is written then.
    """
    refusals = letter.attempt + 1 if is_refusal else letter.attempt
    is_poisoned = is_refusal and retries.is_exhausted(refusals)
    if is_refusal:
        delay = retries.delay_before(refusals + 1, spread=_spread())
    else:
        delay = retries.jittered(retries.OUTAGE_PAUSE_SECONDS, spread=_spread())
    with transaction.atomic():
        updated = _update_owned(
            letter,
            {
                "attempt": refusals,
                "state": "poisoned" if is_poisoned else "pending",
                "last_error": error[:TEXT_LENGTH_MAX],
                "delay": delay.total_seconds(),
            },
        )
        if is_poisoned:
            outbox.publish(
                EventType.DEAD_LETTER_POISONED,
                {
                    "dead_letter_id": letter.id,
                    "queue": letter.queue,
                    "subject_id": letter.subject_id,
                    "attempts": refusals,
                    "reason": error[:200],
                },
                key=f"poisoned:{letter.id}:{updated.next_retry_at.timestamp()}",
            )
    outcome = "poisoned" if is_poisoned else "refused" if is_refusal else "paused"
    DEAD_LETTERS_PROCESSED.labels(queue=letter.queue, outcome=outcome).inc()
    if is_poisoned:
        log_metric(
            log,
            names.BILLING_FINALIZE_POISON,
            level="critical",
            dead_letter_id=letter.id,
            queue=letter.queue,
            subject_id=letter.subject_id,
            attempt=refusals,
            reason=error[:TEXT_LENGTH_MAX],
            severity="critical",
        )
        if letter.queue == "finalize":
            finalize_stream.announce_poison(letter.id, reason=error[:200], attempts=refusals)
    else:
        log.info(names.DEAD_LETTER_RETRIED, dead_letter_id=letter.id, attempt=refusals, outcome=outcome)
        if letter.queue == "finalize":
            wake_ups.wake(wake_ups.DRAIN_FINALIZE, after_seconds=delay.total_seconds())
    return updated


def resolve(letter: DeadLetter, *, resolution: str = "") -> DeadLetter:
    """End a leased letter whose work is done. Raises LostLease when it is not its owner's any more."""
    updated = _update_owned(letter, {"state": "done", "resolution": resolution[:TEXT_LENGTH_MAX]})
    DEAD_LETTERS_PROCESSED.labels(queue=letter.queue, outcome="done").inc()
    log.info(names.DEAD_LETTER_RESOLVED, dead_letter_id=letter.id, queue=letter.queue, resolution=resolution[:200])
    return updated


def resolve_subject(*, queue: Queue, subject_id: str, resolution: str) -> bool:
    """End the open letter of a subject whose work was done by someone else; whether there was one.

    Takes no lease: what is done is done, and a worker that holds the letter meanwhile finds it gone.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing.dead_letter SET state = 'done', resolution = %s, resolved_at = clock_timestamp(),"
            " updated_at = clock_timestamp(), lease_until = NULL"
            " WHERE queue = %s AND subject_id = %s AND state IN ('pending', 'poisoned')",
            [resolution[:TEXT_LENGTH_MAX], queue, subject_id],
        )
        was_open: bool = cursor.rowcount > 0
    return was_open


def retry(letter_id: str, *, by: str, reason: str) -> DeadLetter:
    """Let a waiting or poisoned letter be tried again now, with its refusals forgotten; by a person, with a reason.

    Raises WrongState when the letter is done, voided or unknown.
    """
    decided = _decide(letter_id, by=by, reason=reason, state="pending")
    if decided.queue == "finalize":
        transaction.on_commit(lambda: _wake_finalize(letter_id, after_seconds=0))
    return decided


def void(letter_id: str, *, by: str, reason: str) -> DeadLetter:
    """Give a waiting or poisoned letter up; by a person, with a reason. What it was about stays as it is in the books.

    Raises WrongState when the letter is done, voided or unknown.
    """
    return _decide(letter_id, by=by, reason=reason, state="voided")


def escalate_overdue() -> list[DeadLetter]:
    """Mark and report the letters that have been open for longer than the limit (24 hours).

    Once each, and twice when a process dies between the two: a report is made before its mark is committed, since an
    alarm too many is better than the only one lost.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing.dead_letter l SET escalated_at = clock_timestamp(), updated_at = clock_timestamp()"
            " WHERE state IN ('pending', 'poisoned') AND escalated_at IS NULL"
            " AND created_at < clock_timestamp() - make_interval(secs => %s) RETURNING l.*",
            [loa("FINALIZE_ESCALATE_SECONDS")],
        )
        letters = _letters(cursor)
        for letter in letters:
            log.critical(
                names.DEAD_LETTER_ESCALATED,
                dead_letter_id=letter.id,
                queue=letter.queue,
                subject_id=letter.subject_id,
                state=letter.state,
                severity="critical",
            )
    return letters


def list_letters(
    *, queue: str = "", states: Sequence[str] = ("pending", "poisoned"), limit: int = 100
) -> list[DeadLetter]:
    """Letters of a queue, or of both, in these states, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM billing.dead_letter WHERE (%s = '' OR queue = %s) AND state = ANY (%s)"
            " ORDER BY created_at, id LIMIT %s",
            [queue, queue, list(states), limit],
        )
        return _letters(cursor)


def letter_of(letter_id: str) -> DeadLetter | None:
    """One letter, or None."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM billing.dead_letter WHERE id = %s", [letter_id])
        return next(iter(_letters(cursor)), None)


def require_risk_headroom(pending_micro_usd: int) -> None:
    """Refuse new reserves while unbooked work is worth the limit or more; it frees as the queue drains.

    Units: MicroUSD. A valve, not a cap to the last unit: reserves admitted at the same moment may pass it together.
    Raises PendingRiskCap.
    """
    cap = loa("FINALIZE_RISK_LIMIT_MICRO_USD")
    if pending_micro_usd >= cap:
        raise PendingRiskCap(pending=pending_micro_usd, cap=cap)


def _update_owned(letter: DeadLetter, after: Mapping[str, str | int | float]) -> DeadLetter:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing.dead_letter l SET state = %(state)s, attempt = %(attempt)s, last_error = %(last_error)s,"
            " next_retry_at = clock_timestamp() + make_interval(secs => %(delay)s), resolution = %(resolution)s,"
            " resolved_by = CASE WHEN %(state)s = 'done' THEN owner ELSE '' END,"
            " resolved_at = CASE WHEN %(state)s = 'done' THEN clock_timestamp() END,"
            " lease_until = NULL, updated_at = clock_timestamp()"
            " WHERE id = %(id)s AND owner = %(owner)s AND lease_until = %(lease_until)s AND state = 'pending'"
            " RETURNING l.*",
            {
                "attempt": letter.attempt,
                "last_error": letter.last_error,
                "delay": 0,
                "resolution": "",
                **after,
                "id": letter.id,
                "owner": letter.owner,
                "lease_until": letter.lease_until,
            },
        )
        updated = next(iter(_letters(cursor)), None)
    if updated is None:
        raise LostLease(dead_letter_id=letter.id, owner=letter.owner)
    return updated


def _decide(letter_id: str, *, by: str, reason: str, state: str) -> DeadLetter:
    if not by or not reason.strip():
        raise Refused(dead_letter_id=letter_id, detail="a decision names who took it and why")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing.dead_letter l SET state = %(state)s,"
            " attempt = CASE WHEN %(state)s = 'pending' THEN 0 ELSE attempt END,"
            " resolved_at = CASE WHEN %(state)s = 'voided' THEN clock_timestamp() END,"
            " next_retry_at = clock_timestamp(), lease_until = NULL, resolution = %(reason)s, resolved_by = %(by)s,"
            " updated_at = clock_timestamp()"
            " WHERE id = %(id)s AND state IN ('pending', 'poisoned') RETURNING l.*",
            {"state": state, "reason": reason[:TEXT_LENGTH_MAX], "by": by, "id": letter_id},
        )
        decided = next(iter(_letters(cursor)), None)
    if decided is None:
        raise WrongState(dead_letter_id=letter_id, detail="only a waiting or poisoned letter can be decided about")
    log.warning(names.DEAD_LETTER_RESOLVED, dead_letter_id=letter_id, by=by, reason=reason[:200], state=state)
    return decided


def _letters(cursor: CursorWrapper) -> list[DeadLetter]:
    columns = [column.name for column in cursor.description]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        for name in ("payload", "trace_context"):
            row[name] = json.loads(row[name])  # the database adapter hands jsonb over as text
    return [DeadLetter(**{name: row[name] for name in DeadLetter.__slots__}) for row in rows]


def _wake_finalize(letter_id: str, *, after_seconds: int = retries.BACKOFF_SECONDS[0]) -> None:
    """Say that there is a letter, where a worker listens; its first attempt is due after about a second."""
    finalize_stream.announce(letter_id)
    wake_ups.wake(wake_ups.DRAIN_FINALIZE, after_seconds=after_seconds)


def _spread() -> Fraction:
    return Fraction(secrets.randbelow(1001), 1000)
