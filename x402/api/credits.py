"""Credit over HTTP: what can be spent now, and what happened to each note and to the prepaid balance."""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services.sessions import SignedIn
from billing.domain import accounts
from billing.selectors import credit_notes
from billing.selectors.balances import balance_of
from billing.selectors.statements import InvalidCursor, StatementLine, statement_of
from telemetry.problem import problem_response
from x402.api.payments import PrivateView, page_size, reader_of
from x402.api.serializers import BalanceSerializer, CreditHistorySerializer, movement_facts, note_facts
from x402.chain.network_settings import default_network
from x402.selectors.wallet_payments import PAGE_SIZE, PAGE_SIZE_MAX
from x402.services.refunds import refundable_of

LAST_NUMBER = 2**63 - 1  # movements are numbered by a bigint; the first page begins after every number
PREPAID = "prepaid"
NOTES = "notes"


class CreditBalanceView(PrivateView):
    """`GET /api/v1/credits/balance`."""

    @extend_schema(
        operation_id="credits_balance",
        summary="What the signed-in wallet can spend",
        description="For a signed-in wallet, or for an API key with the scope `read`, which sees the prepaid part.",
        responses={200: BalanceSerializer},
        tags=["credits"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """The spendable sum, the notes it is made of, oldest first, and the prepaid balance."""
        reader = reader_of(request)
        if isinstance(reader, HttpResponse):
            return reader
        wallet, asset_id = reader.wallet if isinstance(reader, SignedIn) else "", default_network().assets[0].asset_id
        notes = [note for note in credit_notes.notes_of(wallet) if note.is_spendable] if wallet else []
        answer = {
            "wallet": wallet or None,
            "asset": asset_id,
            "spendable_micro_usdc": str(credit_notes.spendable_credit_of(wallet, asset_id)),
            "refundable_micro_usdc": str(refundable_of(wallet, asset_id)),
            "prepaid_micro_usd": str(balance_of(accounts.available(reader.account_id), accounts.PREPAID)),
            "prepaid_held_micro_usd": str(balance_of(accounts.held(reader.account_id), accounts.PREPAID)),
            "credit_notes": [note_facts(note) for note in notes],
        }
        return Response(BalanceSerializer(answer).data)


class CreditHistoryView(PrivateView):
    """`GET /api/v1/credits/history`."""

    @extend_schema(
        operation_id="credits_history",
        summary="What happened to the signed-in wallet's credit",
        parameters=[
            OpenApiParameter(
                "of", str, enum=[NOTES, PREPAID], description="Credit notes, or the account's prepaid balance."
            ),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            OpenApiParameter("limit", int, description=f"1 to {PAGE_SIZE_MAX}; {PAGE_SIZE} if absent."),
        ],
        responses={200: CreditHistorySerializer},
        tags=["credits"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Issued, spent, expired and returned amounts, or bought, held and charged ones, newest first."""
        reader = reader_of(request)
        if isinstance(reader, HttpResponse):
            return reader
        size, kind = page_size(request), request.query_params.get("of", NOTES)
        if size is None:
            return problem_response("invalid_parameters", detail=f"limit is a whole number from 1 to {PAGE_SIZE_MAX}.")
        if kind not in (NOTES, PREPAID):
            return problem_response("invalid_parameters", detail=f"of is {NOTES} or {PREPAID}.")
        if kind == PREPAID:
            return _prepaid_page(reader.account_id, cursor=request.query_params.get("cursor", ""), size=size)
        if not isinstance(reader, SignedIn):
            return problem_response("forbidden", detail="Notes belong to a wallet. Sign in, or ask with of=prepaid.")
        return _notes_page(reader.wallet, before=_before(request), size=size)


def _notes_page(wallet: str, *, before: int | None, size: int) -> HttpResponse | Response:
    if before is None:
        return problem_response("invalid_cursor")
    found = credit_notes.movements_of(wallet, before=before, limit=size + 1)
    shown = found[:size]
    answer = {
        "movements": [movement_facts(movement) for movement in shown],
        "prepaid_movements": [],
        "next_cursor": str(shown[-1].number) if len(found) > size else None,
    }
    return Response(CreditHistorySerializer(answer).data)


def _prepaid_page(account_id: str, *, cursor: str, size: int) -> HttpResponse | Response:
    try:
        page = statement_of(accounts.available(account_id), accounts.PREPAID, cursor=cursor, limit=size)
    except InvalidCursor:
        return problem_response("invalid_cursor")
    answer = {
        "movements": [],
        "prepaid_movements": [_prepaid_facts(line) for line in page.lines],
        "next_cursor": page.next_cursor or None,
    }
    return Response(CreditHistorySerializer(answer).data)


def _prepaid_facts(line: StatementLine) -> dict[str, object]:
    return {
        "kind": line.kind,
        "amount_micro_usd": str(line.amount),
        "balance_micro_usd": str(line.balance_after),
        "journal_id": line.journal_id,
        "correlation_id": line.correlation_id,
        "recorded_at": line.recorded_at,
    }


def _before(request: Request) -> int | None:
    """The movement the page before ended with, or None for what is no cursor of ours."""
    cursor = request.query_params.get("cursor", str(LAST_NUMBER))
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 19):
        return None
    return min(int(cursor), LAST_NUMBER)
