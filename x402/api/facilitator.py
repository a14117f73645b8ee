"""Our facilitator for other sites: `/facilitator/verify`, `/settle` and `/supported` of the x402 specification.

A judgement is HTTP 200, whatever it says; other statuses mean that there is none: 400 for what is no JSON, 401 and 429
for who asks, 503 while the chain cannot be asked. A call is made with an API key of scope `facilitate`, or without one
where `FACILITATOR_ANONYMOUS_PER_MINUTE` allows it. Source: x402 v1 and v2, facilitator interface.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import throttles
from accounts.api.authentication import ApiKeyAuthentication, BearerAuthentication
from accounts.services.api_keys import SCOPE_FACILITATE, KeyHolder
from billing.services import recovery
from outbound.json_rpc import RpcFailure
from telemetry.configuration import loa
from telemetry.problem import problem_response
from x402.api.facilitator_serializers import (
    FACILITATOR_REQUEST,
    SETTLE_RESPONSE,
    SUPPORTED,
    VERIFY_RESPONSE,
)
from x402.protocol.errors import PaymentRefused
from x402.protocol.response import SettleResponse, VerifyResponse
from x402.services import facilitated_requests, facilitated_settlement, supported_kinds
from x402.services.rates import RateLimited
from x402.services.responses import RETRY_AFTER_SECONDS, keep_private

RESPONSES: dict[int, Any] = {
    401: OpenApiResponse(description="No key, or one that is not valid."),
    429: OpenApiResponse(description="The caller's rate or daily quota is used up."),
    503: OpenApiResponse(description="The chain cannot be asked now; nothing was sent."),
}


class FacilitatorView(APIView):
    """A call by another site, known by its API key or by its address."""

    authentication_classes = (ApiKeyAuthentication, BearerAuthentication)
    permission_classes = ()

    def caller_of(self, request: Request) -> str | HttpResponse:
        """Who asks: an API key's family or a client's address; or the answer that nobody may. Raises Throttled."""
        holder = request.user
        if isinstance(holder, KeyHolder):
            return holder.payer if SCOPE_FACILITATE in holder.scopes else problem_response("forbidden")
        limit = loa("FACILITATOR_ANONYMOUS_PER_MINUTE")
        if not limit:
            return problem_response("authentication_required")
        address = throttles.address_of(request._request)
        verdict = throttles.check("facilitator", address, limit=limit)
        if not verdict.allowed:
            raise Throttled(wait=verdict.retry_after_seconds)
        return f"address:{address}"

    def answer(self, request: Request, judge: Callable[[str], Response]) -> HttpResponse | Response:
        """What `judge` says to this caller, or why there is no judgement."""
        caller = self.caller_of(request)
        if isinstance(caller, HttpResponse):
            return caller
        try:
            recovery.require_none()
            return judge(caller)
        except RpcFailure:
            return problem_response("settlement_unavailable", 503, retry_after_seconds=RETRY_AFTER_SECONDS)
        except RateLimited as limited:
            return problem_response("rate_limited", 429, retry_after_seconds=limited.retry_after_seconds)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer out of every cache."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        keep_private(finished)
        return finished


class VerifyView(FacilitatorView):
    """`POST /facilitator/verify`."""

    @extend_schema(
        operation_id="facilitator_verify",
        summary="Judge a payment without settling it",
        request=FACILITATOR_REQUEST,
        responses={200: VERIFY_RESPONSE, **RESPONSES},
        tags=["facilitator"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Whether the payment would settle now, and the specification's reason if not."""

        def judge(_caller: str) -> Response:
            try:
                verdict = facilitated_settlement.verify(facilitated_requests.read(request.data, is_settlement=False))
            except PaymentRefused as refusal:
                verdict = VerifyResponse(
                    is_valid=False,
                    payer=facilitated_requests.payer_in(request.data),
                    invalid_reason=refusal.reason,
                    invalid_message=refusal.detail,
                )
            return Response(verdict.to_json())

        return self.answer(request, judge)


class SettleView(FacilitatorView):
    """`POST /facilitator/settle`."""

    @extend_schema(
        operation_id="facilitator_settle",
        summary="Carry a payment to the chain, once",
        description="Asking again with the same payment and terms answers from the record.",
        request=FACILITATOR_REQUEST,
        responses={200: SETTLE_RESPONSE, **RESPONSES},
        tags=["facilitator"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """The settlement, once the chain shows it; `settlement_pending` when it does not yet."""

        def judge(caller: str) -> Response:
            try:
                asked = facilitated_requests.read(request.data, is_settlement=True)
                settled = facilitated_settlement.settle(asked, caller=caller)
            except PaymentRefused as refusal:
                settled = SettleResponse(
                    success=False,
                    network=facilitated_requests.network_in(request.data),
                    payer=facilitated_requests.payer_in(request.data),
                    error_reason=refusal.reason,
                    error_message=refusal.detail,
                )
            is_v1 = facilitated_requests.version_in(request.data) == 1
            return Response(settled.to_v1() if is_v1 else settled.to_v2())

        return self.answer(request, judge)


class SupportedView(APIView):
    """`GET /facilitator/supported`."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="facilitator_supported",
        summary="What this facilitator settles",
        responses={200: SUPPORTED},
        tags=["facilitator"],
    )
    def get(self, request: Request) -> Response:
        """Versions, schemes, networks, extensions, and the addresses that sign transactions."""
        return Response(supported_kinds.supported())
