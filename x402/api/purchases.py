"""`POST /api/v1/credits/purchase`: prepaid credit for API keys, paid by x402.

A plain view under the same gate as every paid endpoint: without a payment 402 with terms, with one the credit.
"""

import functools

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from telemetry.problem import problem_response
from x402.gate import CONTEXT_ATTRIBUTE, charge
from x402.models import Payment
from x402.services.endpoints import Endpoint
from x402.services.purchases import PackPrice, answer_of
from x402.services.quotes import ENDPOINT_ATTRIBUTE

ENDPOINT = Endpoint(
    price=PackPrice(),
    description="Prepaid credit",
    mime_type="application/json",
    on_crash="rerun",
    sells_credit=True,
)


@csrf_exempt
@transaction.non_atomic_requests
def purchase(request: HttpRequest) -> HttpResponseBase:
    """Buy a pack for the account of the key that is named, of who is signed in, or of who pays."""
    if request.method not in ("POST", "OPTIONS"):
        return problem_response("method_not_allowed", headers={"Allow": "POST, OPTIONS"})
    return charge(ENDPOINT, request, functools.partial(_answer, request))


def _answer(request: HttpRequest) -> HttpResponse:
    """What was bought; the credit is in the books already."""
    payment = Payment.objects.get(pk=getattr(request, CONTEXT_ATTRIBUTE).payment_id)
    return JsonResponse(answer_of(payment))


setattr(purchase, ENDPOINT_ATTRIBUTE, ENDPOINT)
