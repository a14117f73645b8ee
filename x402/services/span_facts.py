"""What spans and metrics tell of a payment: what was asked for, and how it was settled."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.utils import timezone

from billing.services.settlements import SettledPayment
from outbound.breaker_state import settlement_breaker
from telemetry import names
from telemetry.correlation import correlated
from telemetry.propagation import TRACEPARENT
from telemetry.tracing import following, is_tracing, record_span, span
from x402.metrics import SETTLEMENT_SECONDS, SETTLEMENTS
from x402.models import ChainTransaction, Payment
from x402.pricing import PricedRequest

MODEL_LENGTH_MAX = 64
DIRECT, FACILITATOR = "direct", "facilitator"


def model_of(priced: PricedRequest) -> str:
    """The model a request names, or, where none is sold, its path."""
    named = priced.json.get("model") if isinstance(priced.json, Mapping) else None
    return named[:MODEL_LENGTH_MAX] if isinstance(named, str) else priced.path[:MODEL_LENGTH_MAX]


def carrier_of(payment: Payment) -> dict[str, str]:
    """The payment's trace, for work that goes on without its request."""
    return {TRACEPARENT: payment.trace_context} if payment.trace_context else {}


def ways_of(items: Sequence[SettledPayment]) -> dict[str, str]:
    """How each payment reached the chain: `direct` in a transaction of our relayer, else by a `facilitator`."""
    hashes = {one.tx_hash for one in items}
    ours = set(ChainTransaction.objects.filter(transaction_hash__in=hashes).values_list("transaction_hash", flat=True))
    return {one.payment_id: DIRECT if one.tx_hash in ours else FACILITATOR for one in items}


def count_settled(payment: Payment, *, way: str) -> None:
    """Count a settlement that was booked now, and how long it took."""
    SETTLEMENTS.labels(method=way, outcome="settled").inc()
    SETTLEMENT_SECONDS.observe(max(0.0, (timezone.now() - payment.created_at).total_seconds()))


@contextmanager
def settling(
    items: Sequence[SettledPayment], rows: Mapping[str, Payment], *, ways: Mapping[str, str]
) -> Iterator[None]:
    """Run the booking of a batch as `x402.settle` of each of its payments, each below its own transaction.

    The journal of the batch stands below the first payment's span: one call wrote it for all.
    """
    if not is_tracing() or not items:
        yield
        return
    began_ns, circuit = time.time_ns(), settlement_breaker.state().value
    facts = {one.payment_id: _facts(one, method=ways[one.payment_id], circuit=circuit) for one in items}
    first, *others = items
    with (
        following(carrier_of(rows[first.payment_id])),
        correlated(first.correlation_id),
        span(names.X402_SETTLE, facts[first.payment_id]),
    ):
        yield
    for one in others:
        carrier = carrier_of(rows[one.payment_id])
        record_span(names.X402_SETTLE, began_ns=began_ns, carrier=carrier, attributes=facts[one.payment_id])


def _facts(item: SettledPayment, *, method: str, circuit: str) -> dict[str, str]:
    return {
        names.METHOD: method,
        names.CIRCUIT_STATE: circuit,
        names.TX_HASH: item.tx_hash,
        names.PAYMENT_ID: item.payment_id,
        names.CORRELATION_ID: item.correlation_id,
    }
