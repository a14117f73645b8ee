"""Telling endpoints about events: who is to hear which, sending what is due, and what became of it.

`address_events` decides for each new event which endpoints hear it; `deliver_due` leases one delivery after the other
and sends it outside any transaction. An endpoint that failed is not tried again in the same run, so that one that hangs
does not keep the others waiting. A message keeps the event's id however often it is sent.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from billing.domain.errors import Refused, WrongState
from billing.domain.webhook_events import EventType, delay_after
from billing.metrics import WEBHOOK_DELIVERIES
from billing.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from billing.services import wake_ups
from outbound import webhooks
from outbound.webhooks import Message, Outcome
from telemetry import names
from telemetry.configuration import loa
from telemetry.crash_points import crash_point
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)

EVENTS_MAX: Final = 500  # addressed in one run
RUN_SECONDS: Final = 30.0  # a run begins no further try after this; well within the task's limit
LEASE_SECONDS: Final = 60  # longer than a try may take
OVERLAP_HOURS: Final = 24  # how long messages carry the signature of the former secret as well

_ADDRESS: Final = """
WITH taken AS (
  SELECT id, type FROM billing_outboxevent WHERE addressed_at IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),
written AS (
  INSERT INTO billing_webhookdelivery (event_id, endpoint_id, state, tries, next_try_at, last_error, created_at)
  SELECT t.id, e.id, 'pending', 0, clock_timestamp(), '', clock_timestamp()
  FROM taken t JOIN billing_webhookendpoint e ON e.is_active AND e.event_types ? t.type
  ON CONFLICT DO NOTHING)
UPDATE billing_outboxevent o SET addressed_at = clock_timestamp() FROM taken WHERE o.id = taken.id
"""
_LEASE: Final = """
WITH next AS (
  SELECT d.id FROM billing_webhookdelivery d JOIN billing_webhookendpoint e ON e.id = d.endpoint_id
  WHERE d.state = 'pending' AND d.next_try_at <= clock_timestamp() AND e.is_active
    AND (d.lease_until IS NULL OR d.lease_until <= clock_timestamp()) AND d.endpoint_id <> ALL (%s)
  ORDER BY d.next_try_at, d.id LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
UPDATE billing_webhookdelivery d SET lease_until = clock_timestamp() + make_interval(secs => %s), tries = tries + 1
FROM next WHERE d.id = next.id RETURNING d.id
"""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What one run did."""

    delivered: int = 0
    retried: int = 0
    failed: int = 0


def create_endpoint(url: str, *, event_types: Sequence[str], description: str, by: str) -> WebhookEndpoint:
    """Store an endpoint. Raises Refused for a URL that is not called or a kind of event that does not exist."""
    _require_known(event_types)
    _require_url(url)
    return WebhookEndpoint.objects.create(
        id=new_id("whe"), url=url, event_types=sorted(set(event_types)), description=description, created_by=by
    )


def rotate_secret(endpoint_id: str) -> WebhookEndpoint:
    """Give an endpoint a new secret; for a day messages carry the signature of the former one as well."""
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)
        endpoint.secret_version += 1
        endpoint.rotated_at = timezone.now()
        endpoint.save(update_fields=["secret_version", "rotated_at"])
    return endpoint


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The endpoint's secret, as its owner is shown it. Raises Refused when the site has no key for secrets."""
    try:
        return webhooks.secret_of(loa("WEBHOOK_KEY"), endpoint_id=endpoint.pk, version=endpoint.secret_version)
    except webhooks.EndpointRefused as error:
        raise Refused(detail=str(error)) from error


def address_events(*, limit: int = EVENTS_MAX) -> int:
    """Decide which endpoints hear the new events; how many events. Locks them with SKIP LOCKED."""
    with connection.cursor() as cursor:
        cursor.execute(_ADDRESS, [limit])
        return int(cursor.rowcount)


def deliver_due(*, run_seconds: float = RUN_SECONDS) -> DeliveryReport:
    """Send what is due, each delivery once, until nothing is or the time is up."""
    delivered = retried = failed = 0
    in_trouble: list[str] = []
    deadline = time.monotonic() + run_seconds
    while time.monotonic() < deadline:
        delivery = _lease_next(in_trouble)
        if delivery is None:
            break
        crash_point("webhook_leased")
        outcome = _send(delivery)
        crash_point("webhook_sent")
        state = _record(delivery, outcome)
        WEBHOOK_DELIVERIES.labels(outcome=state if state != DeliveryState.PENDING else "retried").inc()
        if state == DeliveryState.DELIVERED:
            delivered += 1
            continue
        in_trouble.append(delivery.endpoint_id)
        failed += state == DeliveryState.FAILED
        retried += state == DeliveryState.PENDING
    return DeliveryReport(delivered, retried, failed)


def replay(delivery_id: int) -> WebhookDelivery:
    """Send a delivery again from its first try on, whatever became of it. Raises WrongState when it is waiting."""
    with transaction.atomic():
        delivery = WebhookDelivery.objects.select_for_update().filter(pk=delivery_id).first()
        if delivery is None or delivery.state == DeliveryState.PENDING:
            raise WrongState(delivery_id=delivery_id, detail="only a delivery that has ended can be sent again")
        delivery.state, delivery.tries, delivery.delivered_at = DeliveryState.PENDING, 0, None
        delivery.next_try_at, delivery.lease_until = timezone.now(), None
        delivery.save()
        transaction.on_commit(lambda: wake_ups.wake(wake_ups.DELIVER_WEBHOOKS))
    return delivery


def _lease_next(in_trouble: Sequence[str]) -> WebhookDelivery | None:
    with connection.cursor() as cursor:
        cursor.execute(_LEASE, [list(in_trouble), LEASE_SECONDS])
        row = cursor.fetchone()
    return WebhookDelivery.objects.select_related("event", "endpoint").get(pk=row[0]) if row else None


def _send(delivery: WebhookDelivery) -> Outcome:
    event, endpoint = delivery.event, delivery.endpoint
    body = {"type": event.type, "timestamp": event.created_at.isoformat(), "data": event.payload}
    message = Message(event.pk, int(time.time()), json.dumps(body, separators=(",", ":")).encode())
    try:
        signing = _secrets_of(endpoint, timezone.now())
    except webhooks.EndpointRefused as error:
        return Outcome(None, str(error))
    return webhooks.deliver(message, url=endpoint.url, secrets=signing)


def _secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    is_overlapping = endpoint.rotated_at is not None and (now - endpoint.rotated_at).total_seconds() < (
        OVERLAP_HOURS * 3600
    )
    versions = [endpoint.secret_version, *([endpoint.secret_version - 1] if is_overlapping else [])]
    return [webhooks.secret_of(loa("WEBHOOK_KEY"), endpoint_id=endpoint.pk, version=version) for version in versions]


def _record(delivery: WebhookDelivery, outcome: Outcome) -> str:
    """Write down what came of a try, if the lease is still this run's; the state afterwards."""
    delay = None if outcome.is_gone else delay_after(delivery.tries, spread=Fraction(secrets.randbelow(1001), 1000))
    now = timezone.now()
    changes: dict[str, object] = {
        "last_status": outcome.status,
        "last_error": outcome.error[:300],
        "lease_until": None,
    }
    if outcome.is_delivered:
        changes |= {"state": DeliveryState.DELIVERED, "delivered_at": now}
    elif delay is None:
        changes |= {"state": DeliveryState.FAILED}
    else:
        changes |= {"next_try_at": now + delay}
    WebhookDelivery.objects.filter(pk=delivery.pk, lease_until=delivery.lease_until, state="pending").update(**changes)
    state = str(changes.get("state", DeliveryState.PENDING))
    level = log.info if outcome.is_delivered else log.warning
    level(
        names.WEBHOOK_DELIVERED if outcome.is_delivered else names.WEBHOOK_FAILED,
        event_id=delivery.event_id,
        endpoint_id=delivery.endpoint_id,
        status=outcome.status,
        tries=delivery.tries,
        state=state,
    )
    if outcome.is_gone:
        reason = "The receiver answered 410 Gone."
        WebhookEndpoint.objects.filter(pk=delivery.endpoint_id).update(is_active=False, disabled_reason=reason)
    return state


def _require_known(event_types: Sequence[str]) -> None:
    unknown = sorted(set(event_types) - {one.value for one in EventType})
    if unknown or not event_types:
        raise Refused(event_types=unknown, detail="name at least one kind of event, and only such as exist")


def _require_url(url: str) -> None:
    try:
        webhooks.require_url(url)
    except webhooks.EndpointRefused as error:
        raise Refused(url=url[:200], detail=str(error)) from error
