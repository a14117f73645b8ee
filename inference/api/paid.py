"""The flagship: a prompt in, a paid answer out.

What can be said without reading the body is said first; then the paywall does everything that concerns money, and
the view answers. It reads the body the paywall parsed, priced and hashed (rule R21).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps

import structlog
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from accounts import throttles
from inference.domain.chat import parse_chat_request
from inference.domain.errors import UpstreamError
from inference.services.completion import PaidCompletion, complete_order
from inference.services.orders import PaidOrder, order_of
from inference.services.pricing import ChatPrice
from inference.services.usage import Consumed, record_usage
from telemetry import names
from telemetry.problem import problem_response
from x402.paywall import PaidContext, requires_payment
from x402.protocol.requirements import payment_required_v2
from x402.services import responses
from x402.services.quotes import keep_quote
from x402.services.refusals import REFUSALS, response_of

log = structlog.get_logger(__name__)

JSON = "application/json"
View = Callable[..., HttpResponseBase]


class PaidHttpRequest(HttpRequest):
    """A request as a paid view gets it: the paywall has added `x402`."""

    x402: PaidContext


def takes_json_posts(view: View) -> View:
    """Refuse other methods (405) and media types (415) before anything is priced; OPTIONS is never paid for."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": "POST, OPTIONS"})
        if request.method != "POST":
            return problem_response("method_not_allowed", headers={"Allow": "POST, OPTIONS"})
        if (request.content_type or "").lower() != JSON:
            return problem_response("unsupported_media_type", detail=f"Send the body as {JSON}.", accepted=[JSON])
        return view(request, *args, **kwargs)

    exempt: View = csrf_exempt(transaction.non_atomic_requests(guarded))
    return exempt


@takes_json_posts
@requires_payment(
    price=ChatPrice(),
    description="One answer of a language model, charged by its tokens",
    scheme=("exact", "upto"),
    atomic=False,
)
def invoke(request: PaidHttpRequest) -> HttpResponse:
    """Answer the chat that was paid for and report its actual cost; an upstream's failure is failed work."""
    paid = request.x402
    try:
        order = order_of(parse_chat_request(paid.json), price_version=paid.price_version)
        made = complete_order(order)
    except UpstreamError as failure:
        log.warning(names.UPSTREAM_FAILED, upstream=failure.upstream, code=failure.code, reason=failure.reason)
        return problem_response("upstream_failed", detail="The model behind this endpoint gave no usable answer.")
    said = {"answer": made.answer, "finish_reason": made.finish_reason}
    return JsonResponse(said | charge_for(paid, order, made))


def charge_for(paid: PaidContext, order: PaidOrder, made: PaidCompletion) -> dict[str, object]:
    """Charge the paid call, at most its maximum, write it down for `/api/v1/usage`, and say what it came to."""
    paid.charge(made.cost_micro_usdc)
    charged = min(made.cost_micro_usdc, paid.maximum_micro_usdc)
    consumed = Consumed(
        payment_id=paid.payment_id,
        account_id=paid.account_id,
        order=order,
        upstream=made.upstream,
        metered=made.metered,
        finish_reason=made.finish_reason,
        charged_micro_usdc=charged,
    )
    record_usage(consumed)
    paid.describe(consumed.facts())
    return {
        "payment_id": paid.payment_id,
        "model": made.model,
        "usage": {"input_tokens": made.usage.input_tokens, "output_tokens": made.usage.output_tokens},
        "price_version": paid.price_version,
        "quoted_micro_usdc": str(paid.maximum_micro_usdc),
        "charged_micro_usdc": str(charged),
        "change_micro_usdc": str(paid.maximum_micro_usdc - charged),
    }


@takes_json_posts
def quote(request: HttpRequest) -> HttpResponseBase:
    """Price a request to `invoke` without paying, and keep the quote.

    The body is the one `invoke` would get; paying it means sending that body to `invoke` with the signed terms.
    A kept quote is a row, so the limit on challenges stands before it.
    """
    verdict = throttles.check_client("challenge", request)
    if not verdict.allowed:
        return problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds)
    try:
        offer = keep_quote(request, path=reverse("x402-invoke"))
    except REFUSALS as refusal:
        return response_of(refusal)
    response = JsonResponse(
        {
            "quote_id": offer.quote_id,
            "max_cost_micro_usdc": str(offer.max_cost_micro_usdc),
            "price_version": offer.price_version,
            "expires_at": datetime.fromtimestamp(offer.expires_at, tz=UTC).isoformat(),
            "terms": payment_required_v2(offer.accepts, resource=offer.resource, error=""),
        }
    )
    responses.keep_private(response)
    return response
