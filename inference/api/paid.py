"""The flagship: a prompt in, a paid answer out.

`invoke` looks at what can be said without reading the body, and hands on to the paid view, whose decorator does
everything that concerns money. The view reads the body the paywall parsed, priced and hashed (rule R21).
"""

from collections.abc import Callable
from functools import wraps

import structlog
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from inference.domain.errors import UpstreamError
from inference.services.completion import complete
from inference.services.pricing import ChatPrice
from telemetry import names
from telemetry.problem import problem_response
from x402.paywall import PaidContext, requires_payment

log = structlog.get_logger(__name__)

JSON = "application/json"
View = Callable[[HttpRequest], HttpResponseBase]


class PaidHttpRequest(HttpRequest):
    """A request as a paid view gets it: the paywall has added `x402`."""

    x402: PaidContext


def takes_json_posts(view: View) -> View:
    """Refuse other methods (405) and media types (415) before anything is priced; OPTIONS is never paid for."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": "POST, OPTIONS"})
        if request.method != "POST":
            return problem_response("method_not_allowed", headers={"Allow": "POST, OPTIONS"})
        if (request.content_type or "").lower() != JSON:
            return problem_response("unsupported_media_type", detail=f"Send the body as {JSON}.", accepted=[JSON])
        return view(request)

    exempt: View = csrf_exempt(transaction.non_atomic_requests(guarded))
    return exempt


@requires_payment(price=ChatPrice(), description="One answer of a language model, charged by its tokens")
def answer_chat(request: PaidHttpRequest) -> HttpResponse:
    """Answer the chat that was paid for and report its actual cost; an upstream's failure is failed work."""
    paid = request.x402
    try:
        completion = complete(paid.json, price_version=paid.price_version)
    except UpstreamError as failure:
        log.warning(names.UPSTREAM_FAILED, upstream=failure.upstream, code=failure.code, reason=failure.reason)
        return problem_response("upstream_failed", detail="The model behind this endpoint gave no usable answer.")
    paid.charge(completion.cost_micro_usdc)
    charged = min(completion.cost_micro_usdc, paid.maximum_micro_usdc)
    return JsonResponse(
        {
            "answer": completion.answer,
            "model": completion.model,
            "finish_reason": completion.finish_reason,
            "usage": {
                "input_tokens": completion.usage.input_tokens,
                "output_tokens": completion.usage.output_tokens,
            },
            "payment_id": paid.payment_id,
            "price_version": paid.price_version,
            "quoted_micro_usdc": str(paid.maximum_micro_usdc),
            "charged_micro_usdc": str(charged),
            "change_micro_usdc": str(paid.maximum_micro_usdc - charged),
        }
    )


@takes_json_posts
def invoke(request: HttpRequest) -> HttpResponseBase:
    """Sell one answer: 402 with terms without a payment, the answer with one."""
    return answer_chat(request)
