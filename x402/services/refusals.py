"""Which answer each refusal gets: one table for every door to the payment side."""

from django.http import HttpResponse

from accounts.services.errors import AccountsError
from billing.domain.errors import RecoveryInProgress
from billing.services.dead_letters import PendingRiskCap
from outbound.json_rpc import RpcFailure
from x402.models import Payment
from x402.protocol.errors import MalformedPayment, PaymentRefused, UnpriceableRequest
from x402.services import responses
from x402.services.key_payments import KeyCannotPay, KeyInFlight
from x402.services.paid_requests import BodyTooLarge
from x402.services.rates import RateLimited
from x402.services.verification import NonceAlreadyUsed

REFUSALS = (
    AccountsError,
    BodyTooLarge,
    KeyCannotPay,
    KeyInFlight,
    MalformedPayment,
    NonceAlreadyUsed,
    PaymentRefused,
    PendingRiskCap,
    RateLimited,
    RecoveryInProgress,
    Payment.DoesNotExist,
    RpcFailure,
    UnpriceableRequest,
)


def response_of(refusal: Exception) -> HttpResponse:
    """The problem a client gets for one of `REFUSALS`; fresh terms for a refused payment are the caller's to add."""
    match refusal:
        case AccountsError():
            return responses.not_proven(refusal)
        case BodyTooLarge():
            return responses.body_too_large(refusal)
        case MalformedPayment():
            return responses.malformed(refusal)
        case UnpriceableRequest():
            return responses.unpriceable(refusal)
        case PaymentRefused():
            return responses.refused_unread(refusal)
        case NonceAlreadyUsed():
            return responses.nonce_already_used()
        case RecoveryInProgress() | Payment.DoesNotExist():
            # A row that this request had read is gone only when the database was replaced by one that forgot it.
            return responses.recovery_in_progress()
        case KeyCannotPay():
            return responses.key_cannot_pay(refusal.code, refusal.facts)
        case KeyInFlight():
            return responses.key_in_flight(refusal.payment)
        case PendingRiskCap():
            return responses.too_much_unbooked()
        case RateLimited():
            return responses.rate_limited(refusal)
        case RpcFailure():
            return responses.settlement_unavailable(refusal)
    raise TypeError(f"{type(refusal).__name__} is not a refusal") from refusal
