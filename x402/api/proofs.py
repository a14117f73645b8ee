"""Whether the caller of an API view is on the payer's side of a payment (rule R1, b to d)."""

from rest_framework.request import Request

from accounts.services.sessions import SignedIn
from x402.models import Payment
from x402.services import proofs
from x402.services.keys import idempotency_key_of

QUOTE_HEADER = "Loa-Quote-Token"  # where a payer shows `accepted.extra.quote` of the terms it signed


def is_payers_side(payment: Payment, request: Request) -> bool:
    """Whether the request shows the paid quote's token, the first request's idempotency key, or the payer's session.

    Raises MalformedPayment for an idempotency key that could never have been one.
    """
    return (
        proofs.has_quote_token(payment, request.headers.get(QUOTE_HEADER, ""))
        or proofs.has_key(payment, idempotency_key_of(request._request))
        or (isinstance(request.user, SignedIn) and proofs.is_payer(payment, request.user.wallet))
    )
