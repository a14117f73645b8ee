"""What a payer has and did: credit and its notes, prepaid balance and keys, newest payments, a month's statement."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import ApiKey
from accounts.services.api_keys import is_live
from accounts.services.sessions import SignedIn
from billing.domain import accounts
from billing.selectors import credit_notes
from billing.selectors.balances import balance_of
from loa_site.account import visits
from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.identifiers import new_id
from telemetry.logging import get_logger
from x402.api.payments import receipt_facts
from x402.api.serializers import NEXT_STEP, ReceiptSerializer
from x402.chain.network_settings import default_network
from x402.models import Payment, PaymentState, Refund
from x402.selectors import wallet_payments
from x402.selectors.wallet_payments import InvalidCursor
from x402.services import refund_finality
from x402.services.refunds import refundable_of

PAYMENTS_SHOWN: Final = 8
KEYS_SHOWN: Final = 50
REFUNDS_SHOWN: Final = 5
STATEMENT_ROWS_MAX: Final = 2_000
log = get_logger(__name__)
_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)


def overview(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """The first page: how much, until when, and what happened last. Units: MicroUSDC and MicroUSD.

    What became final on the chain since the last sweep is offered for refund at once; without the chain it is not yet.
    """
    _mark_final(visitor.wallet)
    asset_id = default_network().assets[0].asset_id
    keys = list(ApiKey.objects.filter(account_id=visitor.account_id).order_by("-pk")[:KEYS_SHOWN])
    spendable = credit_notes.spendable_credit_of(visitor.wallet, asset_id)
    refundable = refundable_of(visitor.wallet, asset_id)
    facts = {
        "visitor": visitor,
        "spendable": spendable,
        "refundable": refundable,
        "waiting": max(0, spendable - refundable),
        "refunds": list(Refund.objects.filter(wallet=visitor.wallet).order_by("-pk")[:REFUNDS_SHOWN]),
        "notes": [note for note in credit_notes.notes_of(visitor.wallet) if note.is_spendable],
        "prepaid": balance_of(accounts.available(visitor.account_id), accounts.PREPAID),
        "keys": [{"row": key, "is_live": is_live(key)} for key in keys],
        "page": wallet_payments.page_of_wallet(visitor.wallet, size=PAYMENTS_SHOWN),
        "refund_key": new_id("web"),
        "month": f"{timezone.now():%Y-%m}",
    }
    return visits.show(request, "overview", facts)


def _mark_final(wallet: str) -> None:
    try:
        refund_finality.mark_final(wallet=wallet)
    except RpcFailure as failure:
        log.warning(names.RPC_FAILED, reason=type(failure).__name__)


@require_safe
@visits.own
def payments(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """`/account/payments`: all of them, in pages."""
    try:
        page = wallet_payments.page_of_wallet(visitor.wallet, cursor=request.GET.get("cursor", "")[:200])
    except InvalidCursor as error:
        raise Http404 from error
    return visits.show(request, "payments", {"visitor": visitor, "page": page})


@require_safe
@visits.own
def payment(request: HttpRequest, visitor: SignedIn, payment_id: str) -> HttpResponse:
    """`/account/payments/{id}`: the receipt to print, or what state an unsettled payment is in. Others' are 404."""
    row = wallet_payments.payment_of(payment_id)
    if row is None or row.payer != visitor.wallet:
        raise Http404
    if row.settled_at is None:
        step = NEXT_STEP[PaymentState(row.state)]
        return visits.show(request, "unsettled", {"visitor": visitor, "payment": row, "next_step": step})
    return visits.show(request, "receipt", {"visitor": visitor, "receipt": ReceiptSerializer(receipt_facts(row)).data})


@require_safe
@visits.own
def statement(request: HttpRequest, visitor: SignedIn, month: str) -> HttpResponse:
    """`/account/statements/{yyyy-mm}`: a month on paper, by the UTC calendar. Units: MicroUSDC."""
    first, after = _bounds(month)
    in_month = Payment.objects.filter(payer=visitor.wallet, settled_at__gte=first, settled_at__lt=after)
    rows = list(in_month.order_by("settled_at", "pk")[: STATEMENT_ROWS_MAX + 1])
    shown = rows[:STATEMENT_ROWS_MAX]
    facts: dict[str, Any] = {
        "visitor": visitor,
        "first": first,
        "month": month,
        "rows": shown,
        "is_cut": len(rows) > len(shown),
        "paid": sum(row.amount_micro_usdc for row in shown),
        "charged": sum(row.charged_micro_usdc or 0 for row in shown),
        "made_at": timezone.now(),
    }
    return visits.show(request, "statement", facts)


def _bounds(month: str) -> tuple[datetime, datetime]:
    found = _MONTH.fullmatch(month)
    if found is None:
        raise Http404
    year, number = int(found[1]), int(found[2])
    first = datetime(year, number, 1, tzinfo=UTC)
    return first, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
