"""Keeping reports for staff without letting strangers write as much as they like.

Reports of the same directive, blocked address and page are one row with a count. A process adds up what comes in and
writes each group at most once in a second; the number of groups is bounded, and what does not fit is counted under
one heading. So a flood costs a row a second, not a row a report. What a process has not written when it ends is lost:
the exact count is the metric's.
"""

import threading
import time
from collections import OrderedDict
from datetime import datetime
from typing import Final

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F
from django.utils import timezone

from loa_site.models import PolicyReport
from loa_site.security.csp_reports import Violation
from telemetry import names
from telemetry.logging import get_logger

GROUPS_MAX: Final = 500
REMEMBERED_MAX: Final = 1_000
SECONDS_BETWEEN_WRITES: Final = 1.0
LINES_A_SECOND: Final = 50
THE_REST: Final = ("other", "other", "other")

Group = tuple[str, str, str]
log = get_logger(__name__)


class _Gathered:
    """What this process has seen of each group and not written yet, and how many lines it logged this second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: OrderedDict[Group, tuple[int, float]] = OrderedDict()
        self._second, self._lines = 0, 0

    def add(self, group: Group, now: float) -> int:
        """Count one report; how many are to be written now, or 0 when it is too soon."""
        with self._lock:
            unwritten, written_at = self._groups.get(group, (0, float("-inf")))
            is_due = now - written_at >= SECONDS_BETWEEN_WRITES
            self._groups[group] = (0, now) if is_due else (unwritten + 1, written_at)
            self._groups.move_to_end(group)
            while len(self._groups) > REMEMBERED_MAX:
                self._groups.popitem(last=False)
            return unwritten + 1 if is_due else 0

    def may_log(self, now: float) -> bool:
        """Whether one more line fits into this second."""
        with self._lock:
            if int(now) != self._second:
                self._second, self._lines = int(now), 0
            self._lines += 1
            return self._lines <= LINES_A_SECOND


_gathered = _Gathered()


def may_log() -> bool:
    """Whether a violation may have a log line of its own; a flood gets a sample."""
    return _gathered.may_log(time.monotonic())


def keep(violation: Violation) -> None:
    """Add a report to its group. Never fails a request: what cannot be written is logged and forgotten."""
    group = (violation.violated_directive.partition(" ")[0][:64], violation.blocked_uri, violation.document_uri)
    count = _gathered.add(group, time.monotonic())
    if not count:
        return
    try:
        with transaction.atomic():
            _write(group, count, timezone.now())
    except (DatabaseError, InterfaceError) as error:
        log.warning(names.CSP_REPORT_NOT_KEPT, error=type(error).__name__)


def _write(group: Group, count: int, now: datetime) -> None:
    if _added(group, count, now):
        return
    if PolicyReport.objects.count() >= GROUPS_MAX:
        group = THE_REST
        if _added(group, count, now):
            return
    directive, blocked, document = group
    _, is_new = PolicyReport.objects.get_or_create(
        violated_directive=directive,
        blocked_uri=blocked,
        document_uri=document,
        defaults={"report_count": count, "first_seen_at": now, "last_seen_at": now},
    )
    if not is_new:  # another process made it at this very moment
        _added(group, count, now)


def _added(group: Group, count: int, now: datetime) -> bool:
    directive, blocked, document = group
    rows = PolicyReport.objects.filter(violated_directive=directive, blocked_uri=blocked, document_uri=document)
    return bool(rows.update(report_count=F("report_count") + count, last_seen_at=now))
