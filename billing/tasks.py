"""Celery's thin wrappers around services that may run twice, late, or in two workers at once."""

from celery import shared_task

from billing.locks.errors import RedisUnavailable
from billing.services import (
    anchors,
    bulk_decisions,
    dead_letters,
    finalize_drain,
    finalize_stream,
    outbox,
    recovery,
    reservations,
    webhooks,
)
from billing.services.anchor_signers import AnchorsNotConfigured
from billing.services.expire_credit_notes import SWEEP_MAX, expire_credit_notes
from billing.services.steps import while_full
from billing.services.verification import verify_ledger
from telemetry import names
from telemetry.crash_points import crash_point
from telemetry.logging import get_logger

log = get_logger(__name__)

BEAT_SCHEDULE = {
    "billing-drain-finalize": {"task": "billing.drain_finalize", "schedule": 5.0, "options": {"expires": 5}},
    "billing-escalate": {"task": "billing.escalate_dead_letters", "schedule": 300.0, "options": {"expires": 300}},
    "billing-expire": {"task": "billing.expire", "schedule": 60.0, "options": {"expires": 60}},
    "billing-anchor": {"task": "billing.take_anchor", "schedule": 60.0, "options": {"expires": 60}},
    "billing-webhooks": {"task": "billing.deliver_webhooks", "schedule": 5.0, "options": {"expires": 5}},
    "billing-announce-expiring": {"task": "billing.announce_expiring", "schedule": 600.0, "options": {"expires": 600}},
    "billing-bulk-decisions": {"task": "billing.run_bulk_decisions", "schedule": 30.0, "options": {"expires": 30}},
    "billing-forget-events": {"task": "billing.forget_events", "schedule": 3600.0, "options": {"expires": 3600}},
    "billing-verify": {"task": "billing.verify_ledger", "schedule": 24 * 3600.0, "options": {"expires": 3600}},
}
RELAY_SECONDS = 5.0  # before what is due is sent, which has a limit of its own
SWEEP_SECONDS = 20.0  # of each kind of row in one run, below a task's limit; the next run takes the rest
VERIFY_SECONDS_MAX = 2 * 3600  # ten million postings take minutes; a run that takes hours should be looked at


@shared_task(name="billing.drain_finalize")
def drain_finalize() -> dict[str, int]:
    """Book what is due in the finalize queue."""
    if recovery.is_under_way():
        return {}
    report = finalize_drain.drain_finalize()
    return {
        "booked": report.booked,
        "refused": report.refused,
        "poisoned": report.poisoned,
        "paused": report.paused,
    }


@shared_task(name="billing.run_bulk_decisions")
def run_bulk_decisions() -> int:
    """Carry on with what staff decided about many letters at once; how many letters."""
    return bulk_decisions.run_open()


@shared_task(name="billing.escalate_dead_letters")
def escalate_dead_letters() -> int:
    """Report letters that have been open for too long, and forget consumers that are gone; how many letters."""
    try:
        finalize_stream.remove_idle_consumers()
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
    return len(dead_letters.escalate_overdue())


@shared_task(name="billing.expire")
def expire() -> dict[str, int]:
    """Release prepaid holds and book notes whose time is over; how many of each."""
    if recovery.is_under_way():
        return {}
    return {
        "released": while_full(reservations.release_expired, full=reservations.SWEEP_MAX, seconds=SWEEP_SECONDS),
        "expired": while_full(expire_credit_notes, full=SWEEP_MAX, seconds=SWEEP_SECONDS),
    }


@shared_task(name="billing.deliver_webhooks")
def deliver_webhooks() -> dict[str, int]:
    """Write the events of new journals, decide who hears them, and send what is due."""
    relayed = while_full(outbox.relay_journals, full=outbox.JOURNALS_MAX, seconds=RELAY_SECONDS)
    crash_point("events_relayed")
    addressed = while_full(webhooks.address_events, full=webhooks.EVENTS_MAX, seconds=RELAY_SECONDS)
    crash_point("events_addressed")
    report = webhooks.deliver_due()
    return {
        "relayed": relayed,
        "addressed": addressed,
        "delivered": report.delivered,
        "retried": report.retried,
        "failed": report.failed,
    }


@shared_task(name="billing.announce_expiring")
def announce_expiring() -> int:
    """Announce notes that expire within a day; how many."""
    return outbox.announce_expiring()


@shared_task(name="billing.forget_events")
def forget_events() -> int:
    """Delete events that nobody waits for any more; how many."""
    return while_full(outbox.forget_old, full=outbox.FORGOTTEN_MAX, seconds=2 * SWEEP_SECONDS)


@shared_task(name="billing.take_anchor")
def take_anchor() -> int:
    """Sign the ledger's heads when it is time; the anchor's number, or 0 when it was not."""
    recovery.look_at_anchors()
    if recovery.is_under_way():
        return 0
    try:
        anchor = anchors.take_anchor_if_due()
    except AnchorsNotConfigured as error:
        log.info(names.LEDGER_ANCHOR_FAILED, reason=str(error))
        return 0
    return anchor.id if anchor else 0


# Acknowledged early: it runs for longer than a message may stay unacknowledged, and beat asks for it again anyway.
@shared_task(
    name="billing.verify_ledger",
    acks_late=False,
    soft_time_limit=VERIFY_SECONDS_MAX,
    time_limit=VERIFY_SECONDS_MAX + 60,
)
def verify() -> bool:
    """Prove the ledger from its rows; what is wrong is logged and counted."""
    return verify_ledger().is_clean
