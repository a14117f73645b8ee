"""Who may have a stored answer (R1).

A payment payload is public once it was broadcast, and proves nothing afterwards. The answer goes to a request that was
waiting before our first broadcast, or shows the paid quote's token, or the first request's idempotency key, or proves
to be the payer.
"""

import hmac

from x402.models import Payment, PaymentState
from x402.protocol.quote_token import token_hash
from x402.services.paid_requests import PaidRequest


def may_have_answer(payment: Payment, incoming: PaidRequest) -> bool:
    """Whether this request comes from the payer's side. `payment` is the row as it was when the request arrived."""
    return payment.state == PaymentState.VERIFIED or proves_itself(payment, incoming)


def proves_itself(payment: Payment, incoming: PaidRequest) -> bool:
    """Whether the request shows what was never on the chain, so that it needs no luck of timing."""
    return (
        has_quote_token(payment, incoming.quote_token)
        or has_key(payment, incoming.key_hash)
        or is_payer(payment, incoming.key.payer if incoming.key else incoming.wallet)
    )


def has_quote_token(payment: Payment, token: str) -> bool:
    """Whether this is the token of the paid quote; it never appears on the chain."""
    return bool(token and payment.quote_token_hash) and hmac.compare_digest(payment.quote_token_hash, token_hash(token))


def has_key(payment: Payment, key_hash: str) -> bool:
    """Whether this is the client-chosen key of the first request."""
    return bool(key_hash and payment.idempotency_key_hash) and hmac.compare_digest(
        payment.idempotency_key_hash, key_hash
    )


def is_payer(payment: Payment, payer: str) -> bool:
    """Whether the proven wallet, or the family of the proven key, is the payer."""
    return bool(payer) and payment.payer in (payer, payer.lower())
