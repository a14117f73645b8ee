"""Recovery: reads and replays only, while it is in doubt whether this database remembers everything (rule R10).

Each new connection of a process asks the database where it is in its history and compares that with what was accepted
and with the note outside. A doubt opens a recovery in the database itself, so that every process on it sees it, and
stops the work that met it: whoever was in the middle of something when the database was replaced gets
RecoveryInProgress instead of a connection. Money stands still until `end_recovery`, which a person runs after the
report. Processes that keep their connections, and those behind a pooler, look again every two seconds at most, when
they are about to move money; nothing is asked per request.

In recovery: no settlement, no refund, no spending of credit. What is booked already is served from its record.
"""

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import ProgrammingError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from billing.domain.errors import RecoveryInProgress, Refused
from billing.domain.recovery import NO_ACCEPTANCE, Doubt, Past, Place, doubts_of
from billing.metrics import RECOVERIES_ENTERED, SERVICE_IN_RECOVERY
from billing.services.anchored_heads import missing_heads, set_aside_lost
from billing.services.recovery_notes import read_note, write_note
from telemetry import names
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)

LOOK_SECONDS: Final = 2.0  # how long a process goes without looking while its connections stay
NOTE_SECONDS: Final = 10.0  # how often the position is written down outside
RETRY_AFTER_SECONDS: Final = 30

_PAST: Final = "SELECT * FROM billing.past_now(%s)"
_ENTER: Final = "SELECT billing.enter_recovery(%s, %s, %s)"


class _Watch:
    """What this process knows. Threads may look at the same time; the last to look is right enough."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: weakref.WeakSet[Any] = weakref.WeakSet()
        self.is_in_recovery = False
        self.has_looked = False
        self.looked_at = float("-inf")
        self.noted_at = float("-inf")


_watch = _Watch()


def is_under_way() -> bool:
    """Whether money must stand still. Asks the database at most every two seconds, and each time while it must."""
    if _watch.is_in_recovery or time.monotonic() - _watch.looked_at > LOOK_SECONDS:
        _look_now()
    return _watch.is_in_recovery


def require_none() -> None:
    """Refuse what would move money while a recovery is under way. Raises RecoveryInProgress."""
    if is_under_way():
        raise RecoveryInProgress(retry_after_seconds=RETRY_AFTER_SECONDS)


def inspect_new_connection(*, connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    """Compare the database behind a connection that Django has just opened; a pooled one is compared once.

    Raises RecoveryInProgress for the work that was going on when the database was replaced.
    """
    raw = connection.connection
    if connection.alias != "default" or getattr(settings, "CONNECTS_AS_OWNER", False) or raw in _watch.seen:
        return
    _watch.seen.add(raw)
    inspect_raw_connection(raw)


def inspect_raw_connection(raw: psycopg.Connection[Any]) -> None:
    """The same for a connection that is not Django's. Raises RecoveryInProgress."""
    with raw.cursor() as cursor:
        _inspect(cursor)


def look_at_anchors() -> None:
    """Compare the newest anchor outside with the streams, and enter recovery when a head is gone."""
    with connection.cursor() as cursor:
        if missing_heads(cursor) and not _watch.is_in_recovery:
            _enter(cursor, (Doubt.ANCHORED_HEAD_MISSING,), noted_id=NO_ACCEPTANCE)


def enter(doubt: Doubt) -> None:
    """Stop the money because something outside shows that this database forgot. Always raises RecoveryInProgress."""
    if not is_under_way():
        connection.ensure_connection()
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            _enter(cursor, (doubt,), noted_id=NO_ACCEPTANCE)
    raise RecoveryInProgress(retry_after_seconds=RETRY_AFTER_SECONDS)


def open_recovery() -> Mapping[str, Any] | None:
    """The recovery that is under way: id, reasons and since when; None when there is none."""
    _look_now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, reasons, entered_at FROM billing.recovery WHERE ended_at IS NULL")
        row = cursor.fetchone()
    return dict(zip(("id", "reasons", "entered_at"), row, strict=True)) if row else None


def end_recovery(*, ended_by: str, reason: str, report: str) -> str:
    """Accept the database as it is now, and let money move again; the id of what was accepted.

    `report` is the JSON that the decision was made on; it is kept. Runs as the ledger's owner, because the
    application's role may not. Raises Refused when nothing is under way or no person is named.
    """
    if not ended_by or not reason:
        raise Refused(hint="name who ends the recovery, and why")
    with _connection_of_owner() as owner:
        row = owner.execute("SELECT billing.end_recovery(%s, %s, %s::jsonb)", (ended_by, reason, report)).fetchone()
    if row is None or row[0] is None:
        raise Refused(hint="no recovery is under way")
    with connection.cursor() as cursor:
        kept = set_aside_lost(cursor, recovery_id=row[0])
    log.warning(names.RECOVERY_ENDED, recovery_id=row[0], ended_by=ended_by, reason=reason, anchors_kept_in=kept)
    _watch.noted_at = float("-inf")
    _look_now()
    return str(row[0])


def _connection_of_owner() -> psycopg.Connection[Any]:
    """A connection of the ledger's owner; a project with one role for everything has no other.

    An owner that may not log in (`LOA_OWNER_ROLE`) is taken on by the role that may.
    """
    url = getattr(settings, "DATABASE_DIRECT_URL", "")
    if url:
        owner = psycopg.connect(url, autocommit=True, connect_timeout=5)
        role = getattr(settings, "LOA_OWNER_ROLE", "")
        if role:
            owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        return owner
    parameters = connection.get_connection_params()
    named = {name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if name in parameters}
    return psycopg.connect(**named, autocommit=True, connect_timeout=5)


def _look_now() -> None:
    """Look over this thread's connection; not as one of its queries, which belong to whoever counts them."""
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        _look(cursor)


def _inspect(cursor: Any) -> None:
    was_trusted = _watch.has_looked and not _watch.is_in_recovery
    _look(cursor)
    if _watch.is_in_recovery and was_trusted:
        raise RecoveryInProgress(retry_after_seconds=RETRY_AFTER_SECONDS)


def _look(cursor: Any) -> None:
    """Compare once, and remember the outcome in this process; a doubt is written into the database."""
    note = read_note()  # before the database is asked: it only grows, so a note read later could be ahead of the answer
    try:
        cursor.execute(_PAST, [note.acceptance_id if note else NO_ACCEPTANCE])
        row = cursor.fetchone()
    except (ProgrammingError, psycopg.ProgrammingError):
        return  # the ledger is not there yet, or older than this code: nothing to compare with
    if row is None or row[0] is None:
        return  # a standby has no past of its own to judge; readiness says that it is read-only
    server, timeline, reached, acceptance_id, accepted_server, accepted_timeline, is_open, is_known = row
    past = Past(Place(server, timeline, reached), acceptance_id, accepted_server, accepted_timeline, is_known)
    if is_open:
        _remember(is_in_recovery=True)
        return
    doubts = doubts_of(past, note)
    if not doubts and not _watch.has_looked and missing_heads(cursor):
        doubts = (Doubt.ANCHORED_HEAD_MISSING,)
    if doubts:
        _enter(cursor, doubts, noted_id=note.acceptance_id if note else NO_ACCEPTANCE)
        return
    _remember(is_in_recovery=False)
    if time.monotonic() - _watch.noted_at > NOTE_SECONDS or note is None or note.acceptance_id != acceptance_id:
        _watch.noted_at = time.monotonic()
        write_note(past.note)


def _enter(cursor: Any, doubts: Sequence[Doubt], *, noted_id: str) -> None:
    reasons = [doubt.value for doubt in doubts]
    cursor.execute(_ENTER, [new_id("rec"), reasons, noted_id])
    (recovery_id,) = cursor.fetchone()
    for reason in reasons:
        RECOVERIES_ENTERED.labels(reason=reason).inc()
    log.critical(names.RECOVERY_ENTERED, recovery_id=recovery_id, reasons=reasons, severity="critical")
    _remember(is_in_recovery=True)


def _remember(*, is_in_recovery: bool) -> None:
    with _watch.lock:
        _watch.is_in_recovery = is_in_recovery
        _watch.has_looked = True
        _watch.looked_at = time.monotonic()
    SERVICE_IN_RECOVERY.set(int(is_in_recovery))
