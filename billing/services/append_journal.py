"""The one verb of the ledger: append journals, and get a result for each.

`append` writes in one database call, together with whatever other threads of this process append at that moment. A
journal is in the ledger exactly when its result is `ok` or `exists`, and results are handed out only after COMMIT.
Every error of a batch means that nothing of it was written: the leader sends its journals again one by one with the
same keys, so that a poison journal fails alone (rule R9). A call whose answer was lost is asked again by key.

`append_in_transaction` is for a caller that must write rows of its own in the same transaction. It costs: its stream
stays locked until the caller commits, it is not grouped with anything, it can be used once per transaction, and its
result means nothing until on_commit.
"""

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from django.db import connection as request_connection

from billing.domain.errors import InsideTransaction, InvalidJournal, LedgerUnavailable, OutcomeUnknown, StaleToken
from billing.domain.journal import Journal, Result, ResultStatus
from billing.locks.process_writer import process_writer
from billing.locks.writer import LEASE_SECONDS, Ticket
from billing.metrics import LEDGER_APPEND_SECONDS, LEDGER_APPENDS, LEDGER_BATCH_SIZE
from billing.selectors.balances import balance_of
from billing.services.batch_encoding import Batch, EncodedJournal, batch_of, encode
from billing.services.group_commit import BATCH_JOURNALS_MAX, Call, GroupCommit
from billing.services.ledger_connection import SQL, LedgerConnection, open_inline_streams
from telemetry import names
from telemetry.tracing import annotate, is_tracing, span

INLINE_STREAMS: Final = 4  # callers that append in their own transactions at once; a fifth waits for one of them
RESENDS_MAX: Final = 3
RESEND_PAUSE_MS: Final = 20  # at most, and a multiple of it for each further time; shorter than a batch of others
# Deadlock, serialization, lock timeout: the batch lost against another one and may win the next time.
TRANSIENT_STATES: Final = frozenset({"40P01", "40001", "55P03"})
CONNECTION_ERRORS: Final = (psycopg.OperationalError, psycopg.InterfaceError)
HASH_BYTES: Final = 32
STATUS_OF: Final = {status.value: status for status in ResultStatus}


def append(journals: Sequence[Journal]) -> list[Result]:
    """Write journals in order and return what became of each; one database call, shared with other threads.

    Concurrency: locks in the database the process's stream, then entries and registered rows, then balances; waits for
    at most one batch of other threads. Refuses inside atomic(), where that wait could be for ourselves (rule R29).
    Raises InsideTransaction, InvalidJournal, LedgerUnavailable, OutcomeUnknown, StaleToken: ask again by key.
    """
    if request_connection.in_atomic_block:
        raise InsideTransaction(hint="append before or after the transaction, or use append_in_transaction")
    encoded = _encode_all(journals)
    if not is_tracing():
        return _append_encoded(encoded)
    with span(names.X402_LEDGER):
        results = _append_encoded(encoded)
        annotate(_facts_of(encoded))
        return results


def _facts_of(encoded: Sequence[EncodedJournal]) -> dict[str, str | int]:
    """What the span of an append tells: the first journal's kind, how much was posted, and where that left its account.

    Units: `balance_after` is in the denomination of the first posting. Read only while somebody traces.
    """
    if not encoded:
        return {names.POSTING_COUNT: 0}
    first = encoded[0]
    facts: dict[str, str | int] = {
        names.EVENT_TYPE: first.kind,
        names.JOURNAL_COUNT: len(encoded),
        names.POSTING_COUNT: sum(len(journal.amounts) for journal in encoded),
    }
    if first.accounts:
        account, denomination = first.accounts[0]
        facts[names.BALANCE_AFTER] = balance_of(account, denomination)
    return facts


def append_in_transaction(journals: Sequence[Journal]) -> list[Result]:
    """Write journals in the caller's own transaction, once; the results hold only if and when it commits.

    Concurrency: keeps a stream of the in-transaction lane and every touched balance locked until the caller commits.
    Raises InsideTransaction when there is no transaction, and psycopg's errors as Django wraps them.
    """
    if not request_connection.in_atomic_block:
        raise InsideTransaction(hint="outside a transaction use append")
    encoded = _encode_all(journals)
    _open_inline_lane()
    with request_connection.cursor() as cursor:
        batch = batch_of(encoded)
        cursor.execute(SQL, (None, "", 0, None, LEASE_SECONDS, *batch.arguments))
        *facts, details = cursor.fetchone()
    # Django's connections hand jsonb over as text.
    return _results_of((*facts, json.loads(details) if isinstance(details, str) else details), batch)


def _open_inline_lane() -> None:
    """Once per process and database: a stream that the caller's transaction opens would stop the writers meanwhile."""
    place = (os.getpid(), request_connection.settings_dict["NAME"])
    if place not in _lanes and open_inline_streams(count=INLINE_STREAMS):
        _lanes.add(place)


def _encode_all(journals: Sequence[Journal]) -> list[EncodedJournal]:
    encoded = [encode(journal) for journal in journals]
    if encoded and encoded[-1].is_linked:
        raise InvalidJournal(field="linked", key=encoded[-1].key)
    return encoded


def _append_encoded(encoded: list[EncodedJournal]) -> list[Result]:
    commit = _ledger().commit
    if 0 < len(encoded) <= BATCH_JOURNALS_MAX:
        return commit.submit(Call(encoded))
    results: list[Result] = []
    for part in _parts_of(encoded):
        results += commit.submit(Call(part))
    return results


def _units_of(journals: Iterable[EncodedJournal]) -> list[list[EncodedJournal]]:
    """Journals that stand or fall together, in order; a journal alone is a unit."""
    units: list[list[EncodedJournal]] = [[]]
    for journal in journals:
        units[-1].append(journal)
        if not journal.is_linked:
            units.append([])
    return [unit for unit in units if unit]


def _parts_of(journals: Sequence[EncodedJournal]) -> list[list[EncodedJournal]]:
    """Batches of bounded size that break no linked group."""
    parts: list[list[EncodedJournal]] = []
    for unit in _units_of(journals):
        if not parts or len(parts[-1]) + len(unit) > BATCH_JOURNALS_MAX:
            parts.append([])
        parts[-1] += unit
    return parts


def _results_of(row: Sequence[Any], batch: Batch) -> list[Result]:
    stream, _token, sequence, statuses, chained, details = row
    hashes = bytes(chained or b"")
    results = []
    place = 0
    for index, (journal_id, text) in enumerate(zip(batch.journal_ids, statuses.split(","), strict=True)):
        detail = details.get(str(index), {}) if details else {}
        if text == "ok":
            digest = hashes[place : place + HASH_BYTES]
            results.append(Result(ResultStatus.OK, journal_id, detail, stream, sequence, digest))
            sequence += 1
            place += HASH_BYTES
        elif text == "exists":
            digest = bytes.fromhex(detail["hash"])
            first = (detail["journal_id"], detail, detail["stream"], detail["sequence"], digest)
            results.append(Result(ResultStatus.EXISTS, *first))
        else:
            results.append(Result(STATUS_OF[text], None, detail))
    return results


class _Ledger:
    """What a process keeps to append: its queue and its connection."""

    def __init__(self) -> None:
        self.connection = LedgerConnection()
        self.commit = GroupCommit(self._write)

    def _write(self, calls: Sequence[Call]) -> None:
        journals = [journal for call in calls for journal in call.journals]
        try:
            results = self._send(journals)
        except psycopg.Error as error:
            units = _units_of(journals)
            if len(units) == 1:
                results = self._refused(units[0], error)
            else:
                results = [result for unit in units for result in self._send_alone(unit)]
        start = 0
        for call in calls:
            call.results = results[start : start + len(call.journals)]
            start += len(call.journals)
        _count(journals, results)

    def _send_alone(self, unit: Sequence[EncodedJournal]) -> list[Result]:
        """One unit of a batch that failed: written, refused by the database, or an error that is about the moment."""
        try:
            return self._send(unit)
        except psycopg.Error as error:
            return self._refused(unit, error)

    def _refused(self, unit: Sequence[EncodedJournal], error: psycopg.Error) -> list[Result]:
        if error.sqlstate in TRANSIENT_STATES:
            raise LedgerUnavailable(sqlstate=error.sqlstate) from error
        if isinstance(error, CONNECTION_ERRORS):
            raise OutcomeUnknown(reason=str(error)[:200]) from error
        detail = {"sqlstate": error.sqlstate or "", "reason": str(error.diag.message_primary)[:200]}
        return [Result(ResultStatus.REFUSED_BY_DATABASE, None, detail) for _ in unit]

    def _send(self, journals: Sequence[EncodedJournal]) -> list[Result]:
        """Send a batch, again when it lost a race or its connection; the keys make a second time harmless."""
        batch = batch_of(journals)
        for resend in range(RESENDS_MAX):
            try:
                return self._send_once(batch)
            except psycopg.Error as error:
                if error.sqlstate not in TRANSIENT_STATES and not self._has_lost_connection(error):
                    raise
                # Batches that lost against each other must not meet again at once.
                time.sleep(secrets.randbelow(RESEND_PAUSE_MS * (resend + 1)) / 1000)
        return self._send_once(batch)

    def _send_once(self, batch: Batch) -> list[Result]:
        def send(ticket: Ticket) -> list[Result]:
            fence = (ticket.stream, ticket.holder, ticket.epoch, ticket.token, ticket.lease_seconds)
            row = self.connection.call((*fence, *batch.arguments))
            results = _results_of(row, batch)
            if results[0].status is ResultStatus.STALE:
                raise StaleToken(stream=ticket.stream, token=ticket.token, row_token=row[1])
            return results

        started = time.perf_counter()
        try:
            return process_writer().write(send)
        except StaleToken as error:
            return [Result(ResultStatus.STALE, None, error.facts) for _ in batch.journals]
        finally:
            LEDGER_APPEND_SECONDS.observe(time.perf_counter() - started)

    def _has_lost_connection(self, error: psycopg.Error) -> bool:
        """Whether the connection broke under the call; then its outcome is open, and only asking again tells it."""
        raw = self.connection
        if isinstance(error, CONNECTION_ERRORS) and raw.is_broken():
            raw.close()
            return True
        return False


def _count(journals: Sequence[EncodedJournal], results: Sequence[Result]) -> None:
    LEDGER_BATCH_SIZE.observe(len(journals))
    counts = Counter(zip((j.kind for j in journals), (r.status.value for r in results), strict=True))
    for (kind, status), count in counts.items():
        LEDGER_APPENDS.labels(kind=kind, status=status).inc(count)


_ledgers: dict[int, _Ledger] = {}
_lanes: set[tuple[int, str]] = set()


def _ledger() -> _Ledger:
    """This process's ledger; a forked child makes its own."""
    process_id = os.getpid()
    ledger = _ledgers.get(process_id)
    if ledger is None:
        _ledgers.clear()
        ledger = _ledgers.setdefault(process_id, _Ledger())
    return ledger
