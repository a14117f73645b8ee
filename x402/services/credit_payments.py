"""Paying with credit notes: all of a call by a wallet that proves itself, under a key that makes it happen once (R13).

The spend is a payment row like any other, whose verifying contract is the word `credit_notes` and whose nonce is the
hash of the key; its hold in the ledger is what `settled` means for it. A bearer needs an `Idempotency-Key`; a
single-use proof for this request is its own key. Without either, credit is never touched.
"""

import hashlib
from dataclasses import dataclass

from billing.domain.journal import ResultStatus, Transition
from billing.selectors import credit_notes
from billing.services import credit_spending
from telemetry import names
from telemetry.correlation import bind_correlation_id
from telemetry.identifiers import new_id, new_payment_id
from telemetry.tracing import traced
from x402.chain.network_settings import Asset, Network, default_network
from x402.models import Payment, PaymentState
from x402.models.payment import Method
from x402.pricing import Quotation
from x402.selectors.payments import payment_by_replay_key
from x402.services import payment_rows, verification
from x402.services.endpoints import Endpoint
from x402.services.paid_requests import PaidRequest

TRIES_MAX = 16  # how often one key may find too little credit before it is used up


@dataclass(frozen=True, slots=True)
class _Spend:
    """One try of a key. A hold that was refused ends its row, and a later try of the same key has a row of its own."""

    network: Network
    asset: Asset
    nonce: str
    payment: Payment | None


def _spend_of(incoming: PaidRequest) -> _Spend | None:
    """The newest try of this spend, with its row when it has one; None when no wallet was proven or no key named."""
    key = incoming.key_hash or incoming.proof_key
    if not incoming.wallet or not key:
        return None
    network = default_network()
    for number in range(TRIES_MAX):
        name = f"{incoming.wallet}\n{key}" if number == 0 else f"{incoming.wallet}\n{key}\n{number}"
        nonce = "0x" + hashlib.sha256(name.encode()).hexdigest()
        payment = payment_by_replay_key(
            network.caip2, verifying_contract=Method.CREDIT_NOTES.value, payer=incoming.wallet, nonce=nonce
        )
        if payment is None or payment.state != PaymentState.DEAD:
            break
    return _Spend(network=network, asset=network.assets[0], nonce=nonce, payment=payment)


def known_spend(incoming: PaidRequest) -> Payment | None:
    """The payment this wallet and key made before, if any. It stands before everything that can change (R19)."""
    spend = _spend_of(incoming)
    return spend.payment if spend else None


def spend(incoming: PaidRequest, *, endpoint: Endpoint, quotation: Quotation) -> Payment | None:
    """Hold the whole maximum from the wallet's notes; the settled payment, or None when notes do not cover it.

    Units: MicroUSDC. Locks: the wallet's account, inside the ledger call. A refused hold ends its row as dead.
    """
    named = _spend_of(incoming)
    return None if named is None else _spend_named(named, incoming, endpoint, quotation=quotation)


@traced(names.X402_VERIFY)
def _spend_named(named: _Spend, incoming: PaidRequest, endpoint: Endpoint, *, quotation: Quotation) -> Payment | None:
    amount = quotation.max_cost_micro_usdc
    if credit_notes.spendable_credit_of(incoming.wallet, named.asset.asset_id) < amount:
        return known_spend(incoming)  # a copy of this request may have spent it since the first look
    correlation_id = new_id("quo")
    bind_correlation_id(correlation_id)
    payment = Payment(
        id=new_payment_id(),
        method=Method.CREDIT_NOTES,
        scheme="credit",
        network=named.network.caip2,
        verifying_contract=Method.CREDIT_NOTES,
        payer=incoming.wallet,
        nonce=named.nonce,
        asset=named.asset.address.lower(),
        pay_to=named.network.pay_to.lower(),
        amount_micro_usdc=0,
        credit_applied_micro_usdc=amount,
        valid_before=verification.credit_deadline(),
        request_hash=incoming.request_hash,
        request_method=incoming.priced.method,
        request_path=incoming.priced.path[:512],
        quote_id=correlation_id,
        price_version=quotation.price_version,
        idempotency_key_hash=incoming.key_hash,
        correlation_id=correlation_id,
        account_id=incoming.account_id,
        entry_id=new_id("ent"),
        on_crash=endpoint.on_crash,
        lease_until=verification.claim_until(),
    )
    if not payment_rows.insert(payment):
        return known_spend(incoming)
    return _hold(payment, named, amount)


def _hold(payment: Payment, named: _Spend, amount: int) -> Payment | None:
    result = credit_spending.hold_credit(
        wallet=payment.payer,
        account_id=payment.account_id,
        denomination=named.asset.asset_id,
        amount_micro_usdc=amount,
        spend_key=named.nonce,
        entry_id=payment.entry_id,
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
    if result.status in (ResultStatus.OK, ResultStatus.EXISTS):
        payment.state = PaymentState.SETTLED
        return payment
    Payment.objects.filter(pk=payment.pk, state=PaymentState.VERIFIED).update(
        state=PaymentState.DEAD, failure_code=str(result.status)
    )
    return None
