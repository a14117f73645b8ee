"""The queues as a test wants them: empty when it begins, whatever ran before, and worked off to the last letter."""

import time

import redis
from django.conf import settings
from django.utils import timezone

from billing.models import OutboxEvent, WebhookEndpoint
from billing.services import finalize_stream
from billing.services.finalize_drain import DrainReport, drain_finalize, finalize_breaker
from telemetry.configuration import loa, redis_key
from tests.factories import ledger

QUEUES = ("default", "settlement")
UNACKNOWLEDGED = ("unacked", "unacked_index", "unacked_mutex")
PRIORITY_SEPARATOR = "\x06\x16"


def empty() -> None:
    """No open letter, no message of the broker, no entry of the stream; the circuit closed and the pace unspent."""
    put_letters_away()
    empty_broker()
    finalize_breaker.force_close()
    ledger.rows("UPDATE billing_queuepace SET refilled_at = clock_timestamp() - interval '1 hour' RETURNING queue")
    client = redis.Redis.from_url(loa("REDIS_URL"))
    client.delete(redis_key(finalize_stream.STREAM), redis_key(finalize_stream.POISON_STREAM))
    client.close()


def put_letters_away() -> None:
    """Letters of other tests wait for nobody and are nobody's risk."""
    ledger.rows("UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id")


def nothing_to_tell() -> None:
    """Nobody hears of what other tests did: no endpoint listens, and every event until now is past."""
    WebhookEndpoint.objects.update(is_active=False)
    ledger.rows(
        "INSERT INTO billing_outboxcursor (stream, sequence) SELECT id, sequence FROM billing.stream"
        " ON CONFLICT (stream) DO UPDATE SET sequence = EXCLUDED.sequence RETURNING stream"
    )
    OutboxEvent.objects.filter(addressed_at=None).update(addressed_at=timezone.now())


def lists_of(queue: str) -> list[str]:
    """The broker's lists of a queue, the most urgent first: one for each step of priority."""
    steps = settings.CELERY_BROKER_TRANSPORT_OPTIONS["priority_steps"]
    return [f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue for step in steps]


def empty_broker() -> None:
    """Forget every message that waits for a worker or for its time, also those a killed worker had taken."""
    client = redis.Redis.from_url(settings.CELERY_BROKER_URL)
    client.delete(*UNACKNOWLEDGED, *(name for queue in QUEUES for name in lists_of(queue)))
    client.close()


def make_due() -> None:
    """Every letter that waits may be tried now."""
    ledger.rows(
        "UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() - interval '1 second'"
        " WHERE state = 'pending' RETURNING id"
    )


def work_off(*, seconds: float = 60) -> DrainReport:
    """Drain until no letter waits: one run takes what the pace allows, which on a slow machine is not everything."""
    booked = refused = poisoned = paused = 0
    ends_at = time.monotonic() + seconds
    while ledger.rows("SELECT id FROM billing.dead_letter WHERE queue = 'finalize' AND state = 'pending' LIMIT 1"):
        assert time.monotonic() < ends_at, f"letters still wait: {booked} booked, {refused} refused, {paused} paused"
        make_due()
        report = drain_finalize()
        booked, refused = booked + report.booked, refused + report.refused
        poisoned, paused = poisoned + report.poisoned, paused + report.paused
        if not report.booked + report.refused:
            time.sleep(0.05)
    return DrainReport(booked, refused, poisoned, paused)
