"""Looking on the chain for what became of an authorization, when our own transaction does not say.

Only evidence moves a payment: a Transfer that belongs to the authorization settles it, whoever carried it; a nonce used
for anything else, or an expiry unused, seen at a finalized block, makes it dead (R5). Anything less leaves it unknown.
"""

import structlog
from django.db.models import F

from billing.services import finalization
from telemetry import names
from x402.chain import receipts
from x402.chain.network_settings import networks
from x402.chain.verification_state import authorization_state
from x402.facilitators.base import Evidence
from x402.models import Payment, PaymentState
from x402.protocol.payload import Authorization
from x402.services.facilitator_choice import rpc_of
from x402.services.settlement import book_evidence

log = structlog.get_logger(__name__)


def authorization_of(payment: Payment) -> Authorization:
    """The signed authorization this row was made from."""
    return Authorization(
        from_=bytes.fromhex(payment.payer[2:]),
        to=bytes.fromhex(payment.pay_to[2:]),
        value=payment.amount_micro_usdc,
        valid_after=payment.valid_after,
        valid_before=payment.valid_before,
        nonce=bytes.fromhex(payment.nonce[2:]),
        signature=bytes(payment.signature),
    )
