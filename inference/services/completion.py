"""Answer a paid chat and say what it really cost."""

from dataclasses import dataclass

import structlog

from inference.domain.chat import allowed_output_tokens, parse_chat_request
from inference.domain.errors import UpstreamUnavailable
from inference.domain.prices import Usage, billable_usage
from inference.domain.tokens import count_tokens
from inference.selectors import catalogue
from inference.services.pricing import model_name_of
from inference.upstreams.base import Completion, CompletionRequest
from inference.upstreams.registry import upstream
from telemetry import names
from x402.protocol.strict_json import JsonValue

log = structlog.get_logger(__name__)

SUSPICIOUS_FACTOR = 2  # a report that exceeds what we allow or count by this factor is worth a look


@dataclass(frozen=True, slots=True)
class PaidCompletion:
    """An answer with what it is billed for. Units: `cost_micro_usdc` is MicroUSDC."""

    model: str
    answer: str
    finish_reason: str
    usage: Usage
    cost_micro_usdc: int


def complete(body: JsonValue, *, price_version: int) -> PaidCompletion:
    """Have the model answer the chat in `body`, charged by the prices of the version that was paid.

    The buyer pays for what the upstream reports, but never for more than was quoted or than arrived; where it
    reports nothing, our own count is charged. Holds no lock while the model works.
    Raises InvalidChatRequest for a body that was never priced, and UpstreamError when no answer came.
    """
    chat = parse_chat_request(body)
    name = model_name_of(chat)
    model = catalogue.paid_model(name, version=price_version)
    if model is None:
        raise UpstreamUnavailable(name, "the model is no longer in the catalogue")
    quoted = Usage(chat.input_tokens, allowed_output_tokens(chat, model.limits))
    made = upstream(model.upstream).complete(
        CompletionRequest(model=model.upstream_model, messages=chat.messages, max_tokens=quoted.output_tokens)
    )
    usage = _billable(made, quoted=quoted, model=name)
    return PaidCompletion(
        model=name,
        answer=made.answer,
        finish_reason=made.finish_reason,
        usage=usage,
        cost_micro_usdc=model.price.actual_cost(usage),
    )


def _billable(made: Completion, *, quoted: Usage, model: str) -> Usage:
    counted = Usage(quoted.input_tokens, count_tokens(made.answer))
    usage = billable_usage(made.usage or counted, quoted=quoted, answer=made.answer)
    reported = made.usage
    if reported is not None and _is_suspicious(reported, counted=counted, quoted=quoted):
        log.warning(
            names.UPSTREAM_USAGE_DEVIATED,
            model=model,
            reported_input_tokens=reported.input_tokens,
            reported_output_tokens=reported.output_tokens,
            counted_input_tokens=counted.input_tokens,
            counted_output_tokens=counted.output_tokens,
        )
    return usage


def _is_suspicious(reported: Usage, *, counted: Usage, quoted: Usage) -> bool:
    return (
        reported.output_tokens > quoted.output_tokens
        or reported.output_tokens > SUSPICIOUS_FACTOR * counted.output_tokens
        or reported.input_tokens > SUSPICIOUS_FACTOR * counted.input_tokens
    )
