"""Whether the caller of an API view is on the payer's side of a payment (rule R1, b to d)."""

from rest_framework.request import Request

from accounts.services.api_keys import SCOPE_READ, KeyHolder
from accounts.services.sessions import SignedIn
from x402.models import Payment
from x402.models.payment import Method
from x402.services import proofs
from x402.services.keys import idempotency_key_of

QUOTE_HEADER = "Loa-Quote-Token"  # where a payer shows `accepted.extra.quote` of the terms it signed


def is_payers_side(payment: Payment, request: Request) -> bool:
    """Whether the request shows the paid quote's token, the first request's idempotency key, or who paid: the payer's
    session, that of the account whose key paid, or the key.

    Raises MalformedPayment for an idempotency key that could never have been one.
    """
    return (
        proofs.has_quote_token(payment, request.headers.get(QUOTE_HEADER, ""))
        or proofs.has_key(payment, idempotency_key_of(request._request))
        or _is_from_payer(payment, request.user)
    )


def _is_from_payer(payment: Payment, caller: object) -> bool:
    if isinstance(caller, SignedIn):
        is_own_key = payment.method == Method.API_KEY and payment.account_id == caller.account_id
        return is_own_key or proofs.is_payer(payment, caller.wallet)
    return isinstance(caller, KeyHolder) and SCOPE_READ in caller.scopes and proofs.is_payer(payment, caller.payer)
