"""A wallet's credit over HTTP: what can be spent now, and what happened to each note."""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services.sessions import SignedIn
from billing.selectors import credit_notes
from telemetry.problem import problem_response
from x402.api.payments import PrivateView, page_size
from x402.api.serializers import BalanceSerializer, CreditHistorySerializer, movement_facts, note_facts
from x402.chain.network_settings import default_network
from x402.selectors.wallet_payments import PAGE_SIZE, PAGE_SIZE_MAX

LAST_NUMBER = 2**63 - 1  # movements are numbered by a bigint; the first page begins after every number


class CreditBalanceView(PrivateView):
    """`GET /api/v1/credits/balance`."""

    @extend_schema(
        operation_id="credits_balance",
        summary="What the signed-in wallet can spend",
        responses={200: BalanceSerializer},
        tags=["credits"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """The spendable sum and the notes it is made of, oldest first."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        wallet, asset_id = request.user.wallet, default_network().assets[0].asset_id
        answer = {
            "wallet": wallet,
            "asset": asset_id,
            "spendable_micro_usdc": str(credit_notes.spendable_credit_of(wallet, asset_id)),
            "credit_notes": [note_facts(note) for note in credit_notes.notes_of(wallet) if note.is_spendable],
        }
        return Response(BalanceSerializer(answer).data)


class CreditHistoryView(PrivateView):
    """`GET /api/v1/credits/history`."""

    @extend_schema(
        operation_id="credits_history",
        summary="What happened to the signed-in wallet's credit notes",
        parameters=[
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            OpenApiParameter("limit", int, description=f"1 to {PAGE_SIZE_MAX}; {PAGE_SIZE} if absent."),
        ],
        responses={200: CreditHistorySerializer},
        tags=["credits"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Issued, spent, expired and returned amounts, newest first."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        size, before = page_size(request), _before(request)
        if size is None:
            return problem_response("invalid_parameters", detail=f"limit is a whole number from 1 to {PAGE_SIZE_MAX}.")
        if before is None:
            return problem_response("invalid_cursor")
        found = credit_notes.movements_of(request.user.wallet, before=before, limit=size + 1)
        shown = found[:size]
        answer = {
            "movements": [movement_facts(movement) for movement in shown],
            "next_cursor": str(shown[-1].number) if len(found) > size else None,
        }
        return Response(CreditHistorySerializer(answer).data)


def _before(request: Request) -> int | None:
    """The movement the page before ended with, or None for what is no cursor of ours."""
    cursor = request.query_params.get("cursor", str(LAST_NUMBER))
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 19):
        return None
    return min(int(cursor), LAST_NUMBER)
