"""Refunds over HTTP: a signed-in wallet has its credit notes paid out on the chain, and sees how far that is."""

import hashlib
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import throttles
from accounts.api.strict_fields import AmountField, StrictSerializer
from accounts.api.views import invalid
from accounts.services.errors import AccountsError
from accounts.services.sessions import SignedIn
from billing.domain.errors import RecoveryInProgress
from outbound.json_rpc import RpcFailure
from telemetry.problem import problem_response
from x402.api.payments import PrivateView, page_size
from x402.models import FacilitatedPayment, Refund, RefundState
from x402.protocol.errors import MalformedPayment
from x402.selectors.wallet_payments import PAGE_SIZE, PAGE_SIZE_MAX
from x402.services import refunds, responses
from x402.services.keys import idempotency_key_of
from x402.services.refunds import RefundRefused, Wish

REFUND_ID_LENGTH = 30
NEXT_STEP = {
    RefundState.REQUESTED: "It is being taken off your notes. Ask for its state again.",
    RefundState.STARTED: "It is off your notes and waits to be signed. Ask for its state again.",
    RefundState.SENT: "It is on its way to the chain. It is paid when its block is final.",
    RefundState.PAID: "It was paid to your wallet.",
    RefundState.FAILED: "The chain did not take it. The amount is a credit note that does not expire; ask again.",
    RefundState.REFUSED: "Nothing was taken off your notes. See the failure code.",
}


class RefundWishSerializer(StrictSerializer):
    """How much to pay out; without an amount, all that is refundable. Units: MicroUSDC."""

    amount_micro_usdc = AmountField(allow_null=True, default=None)


class RefundSerializer(serializers.Serializer[Any]):
    """A refund. Units: MicroUSDC."""

    refund_id = serializers.CharField()
    state = serializers.ChoiceField(choices=RefundState.choices)
    is_final = serializers.BooleanField()
    next_step = serializers.CharField()
    cause = serializers.CharField(help_text="wallet: you asked; owed: automatic; suspense: found by staff.")
    wallet = serializers.CharField(help_text="Where it is paid to: always the wallet whose credit it is.")
    network = serializers.CharField()
    asset = serializers.CharField()
    amount_micro_usdc = serializers.CharField()
    nonce = serializers.CharField(help_text="Of the EIP-3009 authorization that pays it; empty until it is signed.")
    transaction = serializers.CharField(help_text="Where the chain shows it, as far as we saw.")
    failure_code = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class RefundPageSerializer(serializers.Serializer[Any]):
    """A page of own refunds, newest first."""

    refunds = RefundSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class RefundView(PrivateView):
    """`POST /api/v1/credits/refund`."""

    @extend_schema(
        operation_id="credits_refund",
        summary="Pay credit notes out on the chain",
        description=(
            "To the signed-in wallet and to nowhere else. Only credit from payments that are final on the chain can "
            "leave. Asking again under the same Idempotency-Key answers with the same refund."
        ),
        parameters=[
            OpenApiParameter(
                "Idempotency-Key", str, OpenApiParameter.HEADER, required=True, description="Names this one refund."
            )
        ],
        request=RefundWishSerializer,
        responses={202: RefundSerializer},
        tags=["credits"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Begin a refund; its state is at `/api/v1/credits/refunds/{refund_id}`."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        serializer = RefundWishSerializer(data=request.data)
        if not serializer.is_valid():
            return invalid(serializer)
        try:
            key = idempotency_key_of(request._request)
        except MalformedPayment as error:
            return problem_response(error.code, 400, error.detail)
        if not key:
            return problem_response("idempotency_key_required", detail="A refund needs the header Idempotency-Key.")
        verdict = throttles.check("wallet", request.user.wallet)
        if not verdict.allowed:
            return problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds)
        return self._begin(request.user, key, serializer.validated_data["amount_micro_usdc"])

    def _begin(self, who: SignedIn, key: str, amount: int | None) -> HttpResponse | Response:
        asked = hashlib.sha256(f"refund\n{amount}".encode()).hexdigest()
        wish = Wish(who.wallet, who.account_id, amount_micro_usdc=amount, key=key, request_hash=asked)
        try:
            refund = refunds.request(wish)
        except RefundRefused as refused:
            return problem_response(refused.code, detail=refused.detail, **refused.facts)
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail, retry_after_seconds=60)
        except RecoveryInProgress:
            return responses.recovery_in_progress()
        except RpcFailure:
            return problem_response(
                "settlement_unavailable",
                detail="The network cannot be reached now. Nothing was taken off your notes; ask again.",
                retry_after_seconds=5,
            )
        return Response(RefundSerializer(refund_facts(refund)).data, status=status.HTTP_202_ACCEPTED)


class RefundsView(PrivateView):
    """`GET /api/v1/credits/refunds`."""

    @extend_schema(
        operation_id="list_refunds",
        summary="The signed-in wallet's refunds, newest first",
        parameters=[
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            OpenApiParameter("limit", int, description=f"1 to {PAGE_SIZE_MAX}; {PAGE_SIZE} if absent."),
        ],
        responses={200: RefundPageSerializer},
        tags=["credits"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Refunds in pages, found by key."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        size, cursor = page_size(request), request.query_params.get("cursor", "")
        if size is None:
            return problem_response("invalid_parameters", detail=f"limit is a whole number from 1 to {PAGE_SIZE_MAX}.")
        if cursor and not is_refund_id(cursor):
            return problem_response("invalid_cursor")
        rows = Refund.objects.filter(wallet=request.user.wallet).order_by("-id")
        found = list((rows.filter(pk__lt=cursor) if cursor else rows)[: size + 1])
        answer = {
            "refunds": [refund_facts(refund) for refund in found[:size]],
            "next_cursor": found[size - 1].pk if len(found) > size else None,
        }
        return Response(RefundPageSerializer(answer).data)


class OneRefundView(PrivateView):
    """`GET /api/v1/credits/refunds/{refund_id}`."""

    @extend_schema(
        operation_id="get_refund",
        summary="How far a refund is",
        responses={200: RefundSerializer},
        tags=["credits"],
    )
    def get(self, request: Request, refund_id: str) -> HttpResponse | Response:
        """The refund's state, for its own wallet."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        own = Refund.objects.filter(wallet=request.user.wallet)
        refund = own.filter(pk=refund_id).first() if is_refund_id(refund_id) else None
        if refund is None:
            return problem_response("refund_not_found")
        return Response(RefundSerializer(refund_facts(refund)).data)


def is_refund_id(text: str) -> bool:
    """Whether this could be a refund's id."""
    return len(text) == REFUND_ID_LENGTH and text.startswith("ref_") and text.isascii() and text[4:].isalnum()


def refund_facts(refund: Refund) -> dict[str, object]:
    """The facts of RefundSerializer. Before its block is final, the transaction is where the relayer last saw it."""
    transaction_hash = refund.transaction_hash
    if not transaction_hash and refund.carried_by:
        carried = FacilitatedPayment.objects.filter(pk=refund.carried_by)
        transaction_hash = carried.values_list("transaction_hash", flat=True).first() or ""
    return {
        "refund_id": refund.pk,
        "state": refund.state,
        "is_final": refund.is_over,
        "next_step": NEXT_STEP[RefundState(refund.state)],
        "cause": refund.cause,
        "wallet": refund.wallet,
        "network": refund.network,
        "asset": refund.asset,
        "amount_micro_usdc": str(refund.amount_micro_usdc),
        "nonce": refund.nonce,
        "transaction": transaction_hash,
        "failure_code": refund.failure_code,
        "created_at": refund.created_at,
        "ended_at": refund.ended_at,
    }
