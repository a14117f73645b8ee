"""Decisions about many dead letters at once, carried out in parts by a worker.

Asking writes one row and returns at once, however many letters it is about. Each run takes the next letters in the
order of their ids, decides about them in one transaction and moves the mark, so that a killed worker leaves nothing
half decided and the next run goes on. Letters that were written after the question are left alone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from billing.domain.errors import Refused
from billing.models import BulkDecision
from billing.services import dead_letters, wake_ups
from telemetry import names
from telemetry.crash_points import crash_point
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)

PART: Final = 2_000  # letters decided in one transaction: some tens of milliseconds
PARTS_MAX: Final = 10  # in one run of the task, which is woken again for the rest

_NEXT: Final = """
WITH next AS (
  SELECT id FROM billing.dead_letter WHERE queue = %(queue)s AND state = %(state)s AND created_at <= %(until)s
    AND id > %(after)s ORDER BY id LIMIT %(limit)s FOR UPDATE)
UPDATE billing.dead_letter l SET state = %(to)s, attempt = CASE WHEN %(to)s = 'pending' THEN 0 ELSE attempt END,
  resolved_at = CASE WHEN %(to)s = 'voided' THEN clock_timestamp() END, next_retry_at = clock_timestamp(),
  lease_until = NULL, resolution = %(reason)s, resolved_by = %(by)s, updated_at = clock_timestamp()
FROM next WHERE l.id = next.id RETURNING l.id
"""
_COUNT: Final = (
    "SELECT count(*) FROM (SELECT FROM billing.dead_letter"
    " WHERE queue = %s AND state = %s AND created_at <= %s LIMIT %s) AS found"
)
COUNT_MAX: Final = 1_000_000
STATE_AFTER: Final = {BulkDecision.Act.RETRY: "pending", BulkDecision.Act.VOID: "voided"}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters a decision is about."""

    queue: str
    state: str

    def __post_init__(self) -> None:
        if self.queue not in ("settlement", "finalize") or self.state not in ("pending", "poisoned"):
            raise Refused(queue=self.queue, state=self.state, detail="only waiting or poisoned letters of a queue")


def count_of(selection: Selection, *, until: datetime | None = None) -> int:
    """How many letters a decision would be about: the dry run. Counts to a million at most."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [selection.queue, selection.state, until or timezone.now(), COUNT_MAX])
        return int(cursor.fetchone()[0])


def ask(selection: Selection, *, act: str, by: str, reason: str) -> BulkDecision:
    """Write down a decision in the caller's transaction; a worker carries it out. Raises Refused."""
    if not by or not reason.strip() or act not in BulkDecision.Act.values:
        raise Refused(act=act, detail="a decision names who took it and why")
    decision = BulkDecision.objects.create(
        id=new_id("blk"),
        act=act,
        queue=selection.queue,
        letter_state=selection.state,
        until=timezone.now(),
        reason=reason,
        asked_by=by,
    )
    transaction.on_commit(lambda: wake_ups.wake(wake_ups.RUN_BULK))
    return decision


def run_open(*, parts: int = PARTS_MAX) -> int:
    """Carry on with the open decisions, oldest first; how many letters were decided about."""
    decided = 0
    for _ in range(parts):
        done = _run_part()
        if done is None:
            return decided
        decided += done
        crash_point("bulk_part_done")
    wake_ups.wake(wake_ups.RUN_BULK)
    return decided


def _run_part() -> int | None:
    """The next part of the oldest open decision that nobody works on; None when there is none."""
    with transaction.atomic(durable=True):
        open_decisions = BulkDecision.objects.select_for_update(skip_locked=True).filter(finished_at=None)
        decision = open_decisions.order_by("id").first()
        if decision is None:
            return None
        letters = _decide_next(decision)
        decision.decided += len(letters)
        decision.after = max(letters, default=decision.after)
        if len(letters) < PART:
            decision.finished_at = timezone.now()
        decision.save()
        if decision.act == BulkDecision.Act.RETRY and decision.queue == "finalize" and letters:
            transaction.on_commit(lambda: wake_ups.wake(wake_ups.DRAIN_FINALIZE))
    if decision.finished_at is not None:
        facts = {"decision_id": decision.pk, "act": decision.act, "letters": decision.decided, "by": decision.asked_by}
        log.warning(names.DEAD_LETTERS_DECIDED, **facts)
    return len(letters)


def _decide_next(decision: BulkDecision) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            _NEXT,
            {
                "queue": decision.queue,
                "state": decision.letter_state,
                "until": decision.until,
                "after": decision.after,
                "limit": PART,
                "to": STATE_AFTER[BulkDecision.Act(decision.act)],
                "reason": decision.reason[: dead_letters.TEXT_LENGTH_MAX],
                "by": decision.asked_by,
            },
        )
        return [row[0] for row in cursor.fetchall()]
