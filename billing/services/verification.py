"""The proof of the ledger: everything that must be true of the rows, recomputed from the rows.

All checks read one snapshot. The first bad row of each check is named. What the proof can claim: tampering older
than the last anchor is found; younger tampering only when a receipt, an account or the chain contradicts it
(rule R30). Apps above add checks of their own, such as that every payment has its journals, by dotted path.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction
from django.utils.module_loading import import_string

from billing.metrics import CONSERVATION_CHECKS, CONSERVATION_VIOLATIONS
from billing.services.anchors_verification import check_anchors
from billing.services.verification_findings import Check, CheckResult, Finding
from billing.services.verification_guards import check_guards
from billing.services.verification_streams import check_stream_births, check_streams
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

OWN_CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("guards", check_guards),
    ("stream_births", check_stream_births),
    ("streams", check_streams),
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
        return next((result.row_count for result in self.results if result.check == "streams"), 0)


def add_check(name: str, path: str) -> None:
    """Let the proof run the check at a dotted path as well; apps call this when they are ready.

    The check takes a cursor and returns a CheckResult. Adding the same name again replaces it.
    """
    _added_checks[name] = path


def verify_ledger(*, progress: Callable[[str], None] | None = None) -> Verification:
    """Recompute the ledger in one read-only snapshot and report the first bad row of every check.

    Locks nothing. Memory does not grow with the ledger. Must not run inside a transaction of the caller.
    """
    started_at = time.monotonic()
    checks = [*OWN_CHECKS, *((name, import_string(path)) for name, path in _added_checks.items())]
    results = []
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Every statement here reads an index in order or by key; compiling it, or reading a whole table for a range of
        # it because statistics are old, would cost more than the statement.
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL enable_seqscan = off")
        for name, check in checks:
            if progress:
                progress(name)
            results.append(check(cursor))
    verification = Verification(tuple(results), time.monotonic() - started_at)
    _report(verification)
    return verification


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
