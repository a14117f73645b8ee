"""Payments over HTTP: anyone who holds an id sees its state, the payer's side sees the rest (rule R1)."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import ApiKeyAuthentication, BearerAuthentication
from accounts.services.api_keys import SCOPE_READ, KeyHolder
from accounts.services.sessions import SignedIn
from billing.selectors import credit_notes, journals
from telemetry.problem import problem_response
from x402.api.proofs import QUOTE_HEADER, is_payers_side
from x402.api.serializers import (
    PaymentPageSerializer,
    PaymentSerializer,
    PaymentStateSerializer,
    ReceiptSerializer,
    note_facts,
    payment_facts,
    state_facts,
)
from x402.models import Payment
from x402.protocol.errors import MalformedPayment
from x402.selectors import wallet_payments
from x402.selectors.refunds import refunds_of
from x402.selectors.wallet_payments import PAGE_SIZE, PAGE_SIZE_MAX, InvalidCursor
from x402.services import answers
from x402.services.receipts import sign_receipt
from x402.services.responses import keep_private

PROOF_PARAMETERS = [
    OpenApiParameter(QUOTE_HEADER, str, OpenApiParameter.HEADER, description="`extra.quote` of the terms you signed."),
    OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="The key of the paid request."),
]


class PrivateView(APIView):
    """A view whose answers are for one caller: never cached, and known by an API key, a session or not at all."""

    authentication_classes = (ApiKeyAuthentication, BearerAuthentication)
    permission_classes = ()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer out of every cache."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        keep_private(finished)
        return finished


def reader_of(request: Request) -> SignedIn | KeyHolder | HttpResponse:
    """Who may read what is private to them: a signed-in wallet, or a key with the scope `read`; else the refusal."""
    if isinstance(request.user, SignedIn):
        return request.user
    if not isinstance(request.user, KeyHolder):
        return problem_response("authentication_required")
    if SCOPE_READ not in request.user.scopes:
        return problem_response("insufficient_scope", detail="This needs a key with the scope read.")
    return request.user


class JsonOrPage(BaseContentNegotiation):
    """Leaves the choice between JSON and a page to the view."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The first parser; a GET has no body."""
        return next(iter(parsers), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first renderer, which is JSON."""
        first = next(iter(renderers))
        return first, first.media_type or ""


class PaymentsView(PrivateView):
    """`GET /api/v1/payments`."""

    @extend_schema(
        operation_id="list_payments",
        summary="Own payments, newest first",
        parameters=[
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            OpenApiParameter("limit", int, description=f"1 to {PAGE_SIZE_MAX}; {PAGE_SIZE} if absent."),
        ],
        responses={200: PaymentPageSerializer},
        tags=["payments"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """The signed-in wallet's payments and those by its account's keys, or the key's own."""
        reader = reader_of(request)
        if isinstance(reader, HttpResponse):
            return reader
        size = page_size(request)
        if size is None:
            return problem_response("invalid_parameters", detail=f"limit is a whole number from 1 to {PAGE_SIZE_MAX}.")
        try:
            page = wallet_payments.page_of_wallet(
                reader.wallet if isinstance(reader, SignedIn) else reader.payer,
                cursor=request.query_params.get("cursor", ""),
                size=size,
                account_id=reader.account_id if isinstance(reader, SignedIn) else "",
            )
        except InvalidCursor:
            return problem_response("invalid_cursor")
        answer = {
            "payments": [payment_facts(payment) for payment in page.payments],
            "next_cursor": page.next_cursor or None,
        }
        return Response(PaymentPageSerializer(answer).data)


class PaymentView(PrivateView):
    """`GET /api/v1/payments/{payment_id}`."""

    @extend_schema(
        operation_id="get_payment",
        summary="The state of a payment",
        description="Whoever holds the id sees the state; the payer's side sees amounts, transaction and receipt too.",
        parameters=PROOF_PARAMETERS,
        responses={200: PaymentSerializer},
        tags=["payments"],
    )
    def get(self, request: Request, payment_id: str) -> HttpResponse | Response:
        """The payment's state, and its facts for the payer's side."""
        payment = wallet_payments.payment_of(payment_id)
        if payment is None:
            return problem_response("payment_not_found")
        try:
            if not is_payers_side(payment, request):
                return Response(PaymentStateSerializer(state_facts(payment)).data)
        except MalformedPayment as error:
            return problem_response(error.code, 400, error.detail)
        return Response(PaymentSerializer(payment_facts(payment)).data)


class ReceiptView(PrivateView):
    """`GET /api/v1/payments/{payment_id}/receipt`."""

    content_negotiation_class = JsonOrPage

    @extend_schema(
        operation_id="get_receipt",
        summary="The signed receipt of a payment",
        description="For the payer's side only. `Accept: text/html` gets a page to print.",
        parameters=PROOF_PARAMETERS,
        responses={(200, "application/json"): ReceiptSerializer, (200, "text/html"): OpenApiTypes.STR},
        tags=["payments"],
    )
    def get(self, request: Request, payment_id: str) -> HttpResponse | Response:
        """The receipt, as JSON or as a page."""
        payment = wallet_payments.payment_of(payment_id)
        if payment is None:
            return problem_response("payment_not_found")
        try:
            if not is_payers_side(payment, request):
                return problem_response("authentication_required", detail="A receipt is for the payer's side only.")
        except MalformedPayment as error:
            return problem_response(error.code, 400, error.detail)
        if payment.settled_at is None:
            return problem_response("wrong_state", detail="There is a receipt once the payment is settled.")
        receipt = ReceiptSerializer(receipt_facts(payment)).data
        if "text/html" in request.headers.get("Accept", ""):
            return render(request._request, "receipts/receipt.html", {"receipt": receipt})
        return Response(receipt)


def page_size(request: Request) -> int | None:
    """How many rows the caller wants on a page; None when the wish makes no sense."""
    wish = request.query_params.get("limit", str(PAGE_SIZE))
    if not (wish.isascii() and wish.isdigit() and len(wish) <= 3):
        return None
    size = int(wish)
    return size if 1 <= size <= PAGE_SIZE_MAX else None


def _journals_of(payment: Payment) -> list[journals.JournalLine]:
    """A purchase has no billing entry; its journals are found by what they belong to together."""
    if payment.minted_micro_usd:
        return journals.journals_of(correlation_id=payment.correlation_id)
    return journals.journals_of(payment_id=payment.pk)


def receipt_facts(payment: Payment) -> dict[str, object]:
    """The facts of ReceiptSerializer for a settled payment."""
    now = timezone.now()
    on_chain = {
        "network": payment.network,
        "asset": payment.asset,
        "pay_to": payment.pay_to,
        "transaction": payment.transaction_hash,
        "block_hash": payment.block_hash,
        "block_number": payment.block_number,
        "log_index": payment.log_index,
    }
    return {
        "payment": payment_facts(payment),
        "credit_notes": [note_facts(note) for note in credit_notes.notes_from(payment.pk)],
        "settlement": on_chain if payment.transaction_hash else None,
        "journals": [
            {
                "id": journal.id,
                "kind": journal.kind,
                "stream": journal.stream,
                "sequence": journal.sequence,
                "hash": journal.hash.hex(),
            }
            for journal in _journals_of(payment)
        ],
        "refunds": refunds_of(payment.pk),
        "charge": answers.facts_of(payment),
        "issued_at": now,
        "signed": sign_receipt(payment).to_json(),
    }
