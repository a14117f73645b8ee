"""Answer a paid chat and say what it really cost."""

from dataclasses import dataclass

import structlog

from inference.domain.chat import ToolCall, parse_chat_request
from inference.domain.prices import Usage, billable_usage
from inference.domain.tokens import count_tokens
from inference.services.orders import PaidOrder, order_of
from inference.services.routing import first_answer
from inference.upstreams.registry import upstream
from telemetry import names
from x402.protocol.strict_json import JsonValue

log = structlog.get_logger(__name__)

SUSPICIOUS_FACTOR = 2  # a report that exceeds what we allow or count by this factor is worth a look


@dataclass(frozen=True, slots=True)
class Metered:
    """What an answer consumed: as billed, as we counted it, and as the upstream reported it. Units: tokens."""

    billed: Usage
    counted: Usage
    reported: Usage | None
    is_deviating: bool


@dataclass(frozen=True, slots=True)
class PaidCompletion:
    """An answer with what it is billed for. Units: `cost_micro_usdc` is MicroUSDC."""

    model: str
    upstream: str
    answer: str
    finish_reason: str
    metered: Metered
    cost_micro_usdc: int
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def usage(self) -> Usage:
        """What is billed."""
        return self.metered.billed


def complete(body: JsonValue, *, price_version: int) -> PaidCompletion:
    """Have the model answer the chat in `body`, charged by the prices of the version that was paid.

    Holds no lock while the model works. Raises InvalidChatRequest for a body that was never priced, and UpstreamError
    when no answer came.
    """
    return complete_order(order_of(parse_chat_request(body), price_version=price_version))


def complete_order(order: PaidOrder) -> PaidCompletion:
    """Have one of the model's upstreams answer. Raises UpstreamError."""
    route, made = first_answer(
        order.model,
        lambda route: upstream(route.upstream).complete(order.asked_of(route)),
        counts=not order.api_key,
    )
    metered = meter(made.usage, written=made.written_text, order=order)
    return PaidCompletion(
        model=order.model.name,
        upstream=route.upstream,
        answer=made.answer,
        finish_reason=made.finish_reason,
        metered=metered,
        cost_micro_usdc=order.cost_of(metered.billed),
        tool_calls=made.tool_calls,
    )


def meter(reported: Usage | None, *, written: str, order: PaidOrder) -> Metered:
    """What the buyer pays for: what the upstream reports, but never more than was quoted or than arrived.

    Where it reports nothing, our own count is charged. A report far from our count is flagged. Units: tokens.
    """
    counted = Usage(order.quoted.input_tokens, count_tokens(written))
    billed = billable_usage(reported or counted, quoted=order.quoted, answer=written)
    is_deviating = reported is not None and _is_suspicious(reported, counted=counted, quoted=order.quoted)
    if reported is not None and is_deviating:
        log.warning(
            names.UPSTREAM_USAGE_DEVIATED,
            model=order.model.name,
            reported_input_tokens=reported.input_tokens,
            reported_output_tokens=reported.output_tokens,
            counted_input_tokens=counted.input_tokens,
            counted_output_tokens=counted.output_tokens,
        )
    return Metered(billed=billed, counted=counted, reported=reported, is_deviating=is_deviating)


def _is_suspicious(reported: Usage, *, counted: Usage, quoted: Usage) -> bool:
    return (
        reported.output_tokens > quoted.output_tokens
        or reported.output_tokens > SUSPICIOUS_FACTOR * counted.output_tokens
        or reported.input_tokens > SUSPICIOUS_FACTOR * counted.input_tokens
    )
