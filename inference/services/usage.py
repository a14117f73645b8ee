"""What a call consumed, written down and told in its receipt."""

from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError

from inference.models import CallUsage
from inference.services.completion import Metered
from inference.services.orders import PaidOrder
from telemetry import names
from x402.protocol.strict_json import JsonObject

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Consumed:
    """One answered call and what it is charged. Units: `charged_micro_usdc` is MicroUSDC."""

    payment_id: str
    account_id: str
    order: PaidOrder
    upstream: str
    metered: Metered
    finish_reason: str
    charged_micro_usdc: int

    def facts(self) -> JsonObject:
        """What goes into the receipt."""
        return {
            "model": self.order.model.name,
            "price_version": self.order.model.price.version,
            "finish_reason": self.finish_reason,
            "usage": {
                "input_tokens": self.metered.billed.input_tokens,
                "output_tokens": self.metered.billed.output_tokens,
            },
            "charged_micro_usdc": str(self.charged_micro_usdc),
            "own_upstream_key": bool(self.order.chat.own_key),
        }


def record_usage(consumed: Consumed) -> None:
    """Write one call down; a call that is run again after a crash is one call. Writes one row, locks nothing.

    An answer that was paid for is not lost for want of this row: without a database it is a log line.
    """
    try:
        CallUsage.objects.bulk_create([_row(consumed)], ignore_conflicts=True)
    except (OperationalError, InterfaceError):
        log.exception(names.USAGE_NOT_RECORDED, payment_id=consumed.payment_id, **consumed.facts())


def _row(consumed: Consumed) -> CallUsage:
    metered, order = consumed.metered, consumed.order
    return CallUsage(
        payment_id=consumed.payment_id,
        account_id=consumed.account_id,
        model=order.model.name,
        price_version=order.model.price.version,
        upstream=consumed.upstream,
        input_tokens=metered.billed.input_tokens,
        output_tokens=metered.billed.output_tokens,
        counted_input_tokens=metered.counted.input_tokens,
        counted_output_tokens=metered.counted.output_tokens,
        reported_input_tokens=metered.reported.input_tokens if metered.reported else None,
        reported_output_tokens=metered.reported.output_tokens if metered.reported else None,
        is_deviating=metered.is_deviating,
        is_streamed=order.chat.is_stream,
        has_own_key=bool(order.chat.own_key),
        finish_reason=consumed.finish_reason[:32],
        charged_micro_usdc=consumed.charged_micro_usdc,
    )
