"""Working off the finalize queue: booking what was served and could not be booked then.

One run leases what is due, oldest first and no faster than the configured pace, and tries each letter once. A letter
that the ledger refuses counts an attempt; the fifth refusal poisons it and marks its entry as one that people must look
at. An outage, or a fence that lets nobody write, ends the run: the letters go back uncounted, and three such runs open
the queue's circuit, so that a ledger in trouble is left alone for a while. Running it twice, or in two processes, books
once. The Redis stream says that there is something to do; which letters are due, the rows say.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from django.db import InterfaceError, OperationalError, connection, transaction

from billing.domain.errors import BillingError, Retryable, WrongState
from billing.locks.errors import FenceRefused, RedisUnavailable
from billing.services import dead_letters, finalize_stream, wake_ups
from billing.services.dead_letters import DeadLetter
from billing.services.finalization import fail_finalize, retry_finalize
from billing.services.finalize_stream import Entry
from outbound.breaker_state import Breaker, CircuitOpen
from telemetry import names
from telemetry.configuration import loa
from telemetry.correlation import correlated
from telemetry.crash_points import crash_point
from telemetry.identifiers import new_id
from telemetry.logging import get_logger
from telemetry.tracing import following, span

log = get_logger(__name__)

QUEUE: Final = "finalize"
PACE_SECONDS: Final = 1  # a bucket holds what may be taken in this time, and the next run comes after it
finalize_breaker = Breaker(QUEUE)

_ALLOWANCE: Final = """
SELECT least(%(rate)s, allowance + floor(extract(epoch FROM clock_timestamp() - refilled_at) * %(rate)s))::int
FROM billing_queuepace WHERE queue = %(queue)s FOR UPDATE
"""
_SPEND: Final = (
    "UPDATE billing_queuepace SET allowance = %s, refilled_at = clock_timestamp() WHERE queue = %s AND %s > 0"
)
_OPEN: Final = "SELECT id FROM billing.dead_letter WHERE id = ANY (%s) AND state = 'pending'"


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What one run did; `is_held_back` when the circuit was open and nothing was tried."""

    booked: int = 0
    refused: int = 0
    poisoned: int = 0
    paused: int = 0
    is_held_back: bool = False


def drain_finalize(*, limit: int = dead_letters.DUE_MAX) -> DrainReport:
    """Try every finalize letter that is due, once and within the pace; what came of them.

    Concurrency: letters are leased to this run; the append function decides by key, so a letter that was booked by
    someone else resolves without a second booking. Raises the database's OperationalError and InterfaceError, which
    count nothing: the leases end by themselves.
    """
    held = _announced(limit)
    crash_point("drain_announced")
    if not dead_letters.is_any_due(QUEUE):
        _acknowledge_ended(held)
        return DrainReport()
    try:
        permit = finalize_breaker.admit()
    except CircuitOpen:
        return DrainReport(is_held_back=True)
    try:
        report = _try_all(_lease(limit))
    except (OperationalError, InterfaceError):
        finalize_breaker.failed(permit)
        raise
    if report.paused:
        finalize_breaker.failed(permit)
        return report
    finalize_breaker.succeeded(permit)
    _acknowledge_ended(held)
    if dead_letters.is_any_due(QUEUE):
        wake_ups.wake(wake_ups.DRAIN_FINALIZE, after_seconds=PACE_SECONDS)
    return report


def _try_all(letters: Sequence[DeadLetter]) -> DrainReport:
    booked = refused = poisoned = 0
    crash_point("drain_leased")
    for place, letter in enumerate(letters):
        try:
            with following(letter.trace_context), correlated(letter.correlation_id), _attempt_span(letter):
                retry_finalize(letter.payload)
        except (Retryable, FenceRefused) as error:
            return _pause(letters[place:], error, DrainReport(booked, refused, poisoned))
        except (BillingError, KeyError, ValueError, TypeError) as error:
            updated = dead_letters.record_attempt(letter, error=f"{type(error).__name__}: {error}", is_refusal=True)
            refused += 1
            if updated.state == "poisoned":
                poisoned += 1
                _mark_failed(letter, reason=updated.last_error)
        else:
            crash_point("drain_booked")
            dead_letters.resolve(letter, resolution="booked")
            crash_point("drain_resolved")
            booked += 1
    return DrainReport(booked, refused, poisoned)


def _attempt_span(letter: DeadLetter) -> AbstractContextManager[None]:
    """The span of one attempt; `next_retry_at` is when it was due."""
    facts: dict[str, str | int] = {
        names.ATTEMPT: letter.attempt + 1,
        names.BILLING_ENTRY_ID: letter.entry_id or "",
        names.NEXT_RETRY_AT: letter.next_retry_at.isoformat(),
        names.QUEUE: letter.queue,
    }
    return span(names.X402_FINALIZE, facts)


def _lease(limit: int) -> list[DeadLetter]:
    """The oldest due letters, as many as the pace allows. Locks the queue's pace until they are leased."""
    rate = loa("FINALIZE_DRAIN_PER_SECOND") * PACE_SECONDS
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_ALLOWANCE, {"rate": rate, "queue": QUEUE})
        (allowance,) = cursor.fetchone()
        letters = dead_letters.due(QUEUE, min(limit, allowance), owner=new_id("drain")) if allowance else []
        cursor.execute(_SPEND, [allowance - len(letters), QUEUE, len(letters)])
    return letters


def _announced(limit: int) -> list[Entry]:
    try:
        return finalize_stream.take(limit)
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
        return []


def _acknowledge_ended(held: Sequence[Entry]) -> None:
    """Give back the entries whose letters are over; the others stay pending until theirs are, or are claimed."""
    if not held:
        return
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [[entry.letter_id for entry in held]])
        still_open = {row[0] for row in cursor.fetchall()}
    try:
        finalize_stream.acknowledge([entry for entry in held if entry.letter_id not in still_open])
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])


def _pause(letters: Sequence[DeadLetter], error: BillingError, so_far: DrainReport) -> DrainReport:
    for letter in letters:
        dead_letters.record_attempt(letter, error=f"{type(error).__name__}: {error}", is_refusal=False)
    return DrainReport(so_far.booked, so_far.refused, so_far.poisoned, len(letters))


def _mark_failed(letter: DeadLetter, *, reason: str) -> None:
    """Say on the entry that people must look; an entry that is elsewhere already says so itself."""
    if not letter.entry_id:
        return
    try:
        fail_finalize(entry_id=letter.entry_id, reason=reason[:200])
    except WrongState as error:
        log.warning(names.JOURNAL_REFUSED, dead_letter_id=letter.id, reason=str(error)[:200])
