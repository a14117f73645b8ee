"""The proof of the ledger: everything that must be true of the rows, recomputed from the rows.

All checks read one snapshot. The first bad row of each check is named. What the proof can claim: tampering older
than the last anchor is found; younger tampering only when a receipt, an account or the chain contradicts it
(rule R30). Apps above add checks of their own, such as that every payment has its journals, by dotted path.

A long ledger is proved by several connections at once that share the snapshot: each check and each segment of a
stream is a piece of work of its own, and none of them waits for another.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.module_loading import import_string

from billing.metrics import CONSERVATION_CHECKS, CONSERVATION_VIOLATIONS
from billing.services.anchors_verification import check_anchors
from billing.services.verification_findings import Check, CheckResult, Finding
from billing.services.verification_guards import check_guards
from billing.services.verification_streams import STREAMS, check_segment, check_stream_births, segments_of_streams
from billing.services.verification_sums import (
    check_balances,
    check_credit_notes,
    check_holds,
    check_posting_chain,
    check_trial_balance,
)
from telemetry import names
from telemetry.logging import get_logger

log = get_logger(__name__)

CONNECTIONS: Final = 2  # of one proof: more would take from the site what the proof has no hurry to use
BEFORE_STREAMS: Final[tuple[tuple[str, Check], ...]] = (
    ("guards", check_guards),
    ("stream_births", check_stream_births),
)
AFTER_STREAMS: Final[tuple[tuple[str, Check], ...]] = (
    ("posting_chain", check_posting_chain),
    ("balances", check_balances),
    ("trial_balance", check_trial_balance),
    ("credit_notes", check_credit_notes),
    ("holds", check_holds),
    ("anchors", check_anchors),
)
_added_checks: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Verification:
    """The whole proof's outcome."""

    results: tuple[CheckResult, ...]
    seconds: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The first bad row of each check that failed, in the order of the checks."""
        return tuple([result.finding for result in self.results if result.finding])

    @property
    def is_clean(self) -> bool:
        """Whether every check held."""
        return not self.findings

    @property
    def posting_count(self) -> int:
        """How many postings were recomputed."""
        return next((result.row_count for result in self.results if result.check == STREAMS), 0)


def add_check(name: str, path: str) -> None:
    """Let the proof run the check at a dotted path as well; apps call this when they are ready.

    The check takes a cursor and returns a CheckResult. Adding the same name again replaces it.
    """
    _added_checks[name] = path


def verify_ledger(*, progress: Callable[[str], None] | None = None) -> Verification:
    """Recompute the ledger in one read-only snapshot and report the first bad row of every check.

    `progress` hears the name of every piece of work that is done, from several threads. Locks nothing. Memory does not
    grow with the ledger. Must not run inside a transaction of the caller.
    """
    started_at = time.monotonic()
    with _snapshot() as (cursor, snapshot):
        work = _work_on(cursor)
        if len(work) <= len(BEFORE_STREAMS) + len(AFTER_STREAMS) + len(_added_checks) + CONNECTIONS:
            done = [_done(check(cursor), progress) for check in work]
        else:
            with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ledger-proof") as pool:
                done = list(pool.map(partial(_on_own_connection, snapshot=snapshot, progress=progress), work))
    verification = Verification(tuple(_merged(done)), time.monotonic() - started_at)
    _report(verification)
    return verification


@contextmanager
def _snapshot(of: str = "") -> Iterator[tuple[CursorWrapper, str]]:
    """A read-only transaction on this thread's connection, over a snapshot of its own or over another's."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if of:
            cursor.execute("SET TRANSACTION SNAPSHOT %s", [of])
        # Every statement here reads an index in order or by key; compiling it, or reading a whole table for a range of
        # it because statistics are old, would cost more than the statement.
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL enable_seqscan = off")
        if not of:
            cursor.execute("SELECT pg_export_snapshot()")
            (of,) = cursor.fetchone()
        yield cursor, of


def _work_on(cursor: CursorWrapper) -> list[Check]:
    """Every piece of work, in the order of its results. Long pieces come early, so that none is left over alone."""
    before = [check for _, check in BEFORE_STREAMS]
    streams = [partial(check_segment, segment=segment) for segment in segments_of_streams(cursor)]
    after = [check for _, check in AFTER_STREAMS]
    added = [import_string(path) for path in _added_checks.values()]
    return [*before, *streams, *after, *added]


def _on_own_connection(check: Check, *, snapshot: str, progress: Callable[[str], None] | None) -> CheckResult:
    try:
        with _snapshot(snapshot) as (cursor, _):
            return _done(check(cursor), progress)
    finally:
        connection.close()


def _done(result: CheckResult, progress: Callable[[str], None] | None) -> CheckResult:
    if progress:
        progress(result.check)
    return result


def _merged(results: Sequence[CheckResult]) -> list[CheckResult]:
    """One result for each check: a stream's segments add up, and the first that is wrong is the one to name."""
    merged: dict[str, CheckResult] = {}
    for result in results:
        before = merged.get(result.check)
        if before is not None:
            result = CheckResult(result.check, before.row_count + result.row_count, before.finding or result.finding)
        merged[result.check] = result
    return list(merged.values())


def _report(verification: Verification) -> None:
    CONSERVATION_CHECKS.labels(outcome="clean" if verification.is_clean else "violated").inc()
    for finding in verification.findings:
        CONSERVATION_VIOLATIONS.labels(check=finding.check).inc()
        log.critical(
            names.LEDGER_VERIFICATION_FAILED,
            check=finding.check,
            where=finding.where,
            detail=finding.detail,
            severity="critical",
        )
    log.info(
        names.LEDGER_VERIFIED,
        is_clean=verification.is_clean,
        postings=verification.posting_count,
        seconds=round(verification.seconds, 3),
    )
