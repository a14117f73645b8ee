"""What a worker looks at every minute and writes down, for alarms that watch log lines and for gauges.

A count of lines says nothing about a backlog, and a change of state nothing about a state that lasts: these lines carry
the value itself. `service.observed` is the heartbeat; an alarm fires when it stops.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone

from billing.metrics import DEAD_LETTERS_PENDING
from billing.models import DeadLetter
from billing.services import recovery
from outbound.breaker_state import refresh_gauges, settlement_breaker
from telemetry import names
from telemetry.logging import get_logger, log_metric
from x402.metrics import OLDEST_PENDING, PAYMENTS_BY_STATE
from x402.models import Payment, PaymentState

QUEUES = ("settlement", "finalize")
UNSETTLED = (PaymentState.SETTLING, PaymentState.SETTLEMENT_UNKNOWN)
COUNTED = (*UNSETTLED, PaymentState.VERIFIED, PaymentState.SETTLED, PaymentState.SERVING)

log = get_logger(__name__)


def observe() -> dict[str, Any]:
    """Look at backlog, circuit and settlement once; what was seen. Writes log lines and gauges, no rows.

    Ends with the heartbeat, so that a look that failed half-way is a heartbeat that is missing.
    """
    seen: dict[str, Any] = {
        "dead_letters": _dead_letters(),
        "oldest_pending_seconds": _settlement(),
        "circuit": settlement_breaker.state().value,
        "in_recovery": recovery.is_under_way(),
    }
    refresh_gauges()
    log_metric(log, names.CIRCUIT_STATE_OBSERVED, state=seen["circuit"])
    log_metric(log, names.SERVICE_OBSERVED, **seen)
    return seen


def _dead_letters() -> int:
    """How many letters wait to be booked or settled."""
    counts = dict(
        DeadLetter.objects.filter(state="pending").values_list("queue").annotate(number=Count("pk")).order_by()
    )
    for queue in QUEUES:
        DEAD_LETTERS_PENDING.labels(queue=queue).set(counts.get(queue, 0))
    waiting = sum(counts.values())
    log_metric(log, names.BILLING_PENDING_RECONCILIATION, value=waiting)
    return waiting


def _settlement() -> int:
    """The age of the oldest payment that waits for the chain, in seconds."""
    counts = dict(
        Payment.objects.filter(state__in=COUNTED).values_list("state").annotate(number=Count("pk")).order_by()
    )
    for state in COUNTED:
        PAYMENTS_BY_STATE.labels(state=state.value).set(counts.get(state, 0))
    oldest = Payment.objects.filter(state__in=UNSETTLED).aggregate(at=Min("created_at"))["at"]
    age = timezone.now() - oldest if oldest else timedelta()
    seconds = max(0, int(age.total_seconds()))
    OLDEST_PENDING.set(seconds)
    log_metric(log, names.SETTLEMENT_OLDEST_PENDING_OBSERVED, value=seconds)
    return seconds
