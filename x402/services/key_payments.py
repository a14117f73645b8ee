"""Paying with an API key: the call is held in full from the account's prepaid balance, then charged or given back.

The spend is a payment row like any other: network `prepaid`, contract `api_key`, payer `key:` and the key's family,
nonce the hash of family and `Idempotency-Key`, so that one caller's key never meets another's. Without an
`Idempotency-Key`, equal requests that come while the first still runs are the first: a client that gave up waiting and
asks again does not pay twice. Units: the columns say MicroUSDC and hold MicroUSD, at the rate of the price.
"""

import hashlib
import secrets
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.services import api_keys
from accounts.services.api_keys import SCOPE_PAY, KeyHolder
from accounts.services.errors import ScopeMissing
from billing.domain import accounts
from billing.domain.journal import ResultStatus, Transition
from billing.selectors.balances import balance_of
from billing.services import reservations
from billing.services.dead_letters import PendingRiskCap
from telemetry import names
from telemetry.correlation import bind_correlation_id
from telemetry.identifiers import new_id, new_payment_id
from telemetry.tracing import traced
from x402.models import Payment, PaymentState
from x402.models.payment import Method
from x402.pricing import PARITY, PricedRequest, Quotation, Rounding, to_micro_usd
from x402.protocol.errors import UnpriceableRequest
from x402.selectors.payments import payment_by_replay_key
from x402.services import payment_rows, verification
from x402.services.crash_points import crash_point
from x402.services.endpoints import Endpoint
from x402.services.paid_requests import PaidRequest
from x402.services.rates import RateLimited

NETWORK: Final = "prepaid"
TRIES_MAX: Final = 16  # how often one Idempotency-Key may find too little money before it is used up
UNDER_WAY: Final = (PaymentState.VERIFIED, PaymentState.SETTLED, PaymentState.SERVING)


class KeyCannotPay(Exception):
    """Raised when a good key cannot pay for a call: `code` is the problem's, `facts` are amounts in MicroUSD."""

    def __init__(self, code: str, **facts: str) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class KeyInFlight(Exception):
    """Raised when the request of this Idempotency-Key is still running."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment.pk)
        self.payment = payment


@dataclass(frozen=True, slots=True)
class _Spend:
    """One try of a caller's key, with its row when it has one."""

    nonce: str
    payment: Payment | None


def known_spend(incoming: PaidRequest, holder: KeyHolder) -> Payment | None:
    """The payment this request is, if it was seen before: by its Idempotency-Key, or as one still under way (R19)."""
    if incoming.key_hash:
        return _spend_of(incoming, holder).payment
    return _under_way(incoming, holder)


@traced(names.X402_VERIFY)
def spend(
    incoming: PaidRequest, holder: KeyHolder, *, endpoint: Endpoint, quotation: Quotation
) -> tuple[Payment, bool]:
    """Hold the whole maximum from the account's balance; the settled payment and True, or the one a copy has just made.

    Units: MicroUSD. Locks: the key's use of the day while the row is inserted, the account's balance in the ledger.
    Raises ScopeMissing, RateLimited, KeyCannotPay, PendingRiskCap, RecoveryInProgress; nothing is held then.
    """
    if SCOPE_PAY not in holder.scopes:
        raise ScopeMissing("This needs a key with the scope pay.")
    verdict = api_keys.check_rate(holder)
    if not verdict.allowed:
        raise RateLimited(verdict.retry_after_seconds)
    payment = _row(incoming, holder, endpoint=endpoint, quotation=quotation)
    amount = payment.held_micro_usdc
    _require_balance(holder, amount)
    with transaction.atomic(durable=True):
        if not payment_rows.insert(payment):
            known = known_spend(incoming, holder)
            if known is None:
                raise Payment.DoesNotExist(payment.pk)
            return known, False
        if not api_keys.take_from_cap(holder, amount_micro_usd=amount, at=payment.created_at):
            raise _over_the_cap(holder, amount)
    crash_point("key_payment_stored")
    return hold(payment), True


def hold(payment: Payment) -> Payment:
    """Hold the money of a payment that was stored and not held yet, once however often it is called.

    Raises KeyCannotPay when the balance does not cover it, PendingRiskCap; its row ends as dead then.
    """
    if payment.state != PaymentState.VERIFIED:
        return payment
    call = reservations.CallHold(
        entry_id=payment.entry_id,
        account_id=payment.account_id,
        payment_id=payment.pk,
        amount_micro_usd=payment.held_micro_usdc,
        correlation_id=payment.correlation_id,
        transition=Transition(
            table="x402_payment",
            row_id=payment.pk,
            from_state=PaymentState.VERIFIED,
            to_state=PaymentState.SETTLED,
            attempt=1,
            changes={"credit_held": True},
        ),
    )
    try:
        result = reservations.hold_for_call(call)
    except PendingRiskCap:
        _end(payment, reason="pending_risk_cap")
        raise
    crash_point("key_payment_held")
    if result.status is ResultStatus.OK:
        payment.state = PaymentState.SETTLED
    elif result.status in (ResultStatus.EXISTS, ResultStatus.WRONG_STATE):
        payment.refresh_from_db()
    else:
        _end(payment, reason=str(result.status))
        raise KeyCannotPay(
            "insufficient_funds",
            balance_micro_usd=str(_balance(payment.account_id)),
            required_micro_usd=str(payment.held_micro_usdc),
        )
    return payment


def rate_of(payment: Payment, priced: PricedRequest, *, endpoint: Endpoint) -> Fraction:
    """MicroUSDC per MicroUSD under the price this call was begun at; one to one where that price is gone."""
    try:
        quotation = endpoint.price.maximum_at(priced, payment.price_version)
    except UnpriceableRequest:
        return PARITY
    return quotation.rate if quotation else PARITY


def require_not_in_flight(payment: Payment, incoming: PaidRequest) -> None:
    """Refuse a second request under an Idempotency-Key whose first still runs. Raises KeyInFlight."""
    if incoming.key_hash and payment.state in UNDER_WAY and payment.request_hash == incoming.request_hash:
        has_owner = payment.lease_until is not None and payment.lease_until > timezone.now()
        if has_owner:
            raise KeyInFlight(payment)


def _spend_of(incoming: PaidRequest, holder: KeyHolder) -> _Spend:
    """The newest try of this key; a try that found too little money has ended, and the next has a row of its own."""
    for number in range(TRIES_MAX):
        name = f"{holder.family}\n{incoming.key_hash}\n{number}"
        nonce = "0x" + hashlib.sha256(name.encode()).hexdigest()
        payment = payment_by_replay_key(
            NETWORK, verifying_contract=Method.API_KEY.value, payer=holder.payer, nonce=nonce
        )
        if payment is None or payment.state != PaymentState.DEAD:
            break
    return _Spend(nonce, payment)


def _under_way(incoming: PaidRequest, holder: KeyHolder) -> Payment | None:
    return Payment.objects.filter(
        payer=holder.payer,
        request_hash=incoming.request_hash,
        method=Method.API_KEY,
        idempotency_key_hash="",
        state__in=UNDER_WAY,
    ).first()


def _require_balance(holder: KeyHolder, amount: int) -> None:
    """Refuse early, without a row. The ledger's floor decides for those who come at once."""
    balance = _balance(holder.account_id)
    if balance < amount:
        raise KeyCannotPay("insufficient_funds", balance_micro_usd=str(balance), required_micro_usd=str(amount))


def _balance(account_id: str) -> int:
    return balance_of(accounts.available(account_id), accounts.PREPAID)


def _over_the_cap(holder: KeyHolder, amount: int) -> KeyCannotPay:
    return KeyCannotPay(
        "key_cap_reached",
        daily_cap_micro_usd=str(holder.daily_cap_micro_usd),
        spent_today_micro_usd=str(api_keys.spent_today(holder.family)),
        required_micro_usd=str(amount),
    )


def _row(incoming: PaidRequest, holder: KeyHolder, *, endpoint: Endpoint, quotation: Quotation) -> Payment:
    correlation_id = new_id("quo")
    bind_correlation_id(correlation_id)
    nonce = _spend_of(incoming, holder).nonce if incoming.key_hash else "0x" + secrets.token_hex(32)
    return Payment(
        id=new_payment_id(),
        method=Method.API_KEY,
        scheme="prepaid",
        network=NETWORK,
        verifying_contract=Method.API_KEY,
        payer=holder.payer,
        nonce=nonce,
        asset=accounts.PREPAID,
        pay_to="",
        amount_micro_usdc=0,
        credit_applied_micro_usdc=to_micro_usd(
            quotation.max_cost_micro_usdc, rate=quotation.rate, rounding=Rounding.UP
        ).amount,
        valid_before=verification.credit_deadline(),
        request_hash=incoming.request_hash,
        request_method=incoming.priced.method[:8],
        request_path=incoming.priced.path[:512],
        quote_id=correlation_id,
        price_version=quotation.price_version,
        idempotency_key_hash=incoming.key_hash,
        correlation_id=correlation_id,
        trace_context=incoming.traceparent,
        account_id=holder.account_id,
        entry_id=new_id("ent"),
        on_crash=endpoint.on_crash,
        lease_until=verification.claim_until(),
    )


def _end(payment: Payment, *, reason: str) -> None:
    """Nothing was held: the row is dead, and the trigger gives its amount back to the key's day."""
    Payment.objects.filter(pk=payment.pk, state=PaymentState.VERIFIED).update(
        state=PaymentState.DEAD, failure_code=reason[:64]
    )
