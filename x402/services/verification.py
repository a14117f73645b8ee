"""From a payment header to a payment row: every check of the specification, in the order R19 fixes.

Decoding and the signature come first, then the row; only a payment nobody has seen meets quote, price, window, balance
and limits. Inserting the row is the replay guard: its unique key decides races, in this process or between processes.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.services.account_of_wallet import account_id_of_wallet
from outbound.json_rpc import RpcFailure
from telemetry import names, propagation
from telemetry.configuration import loa
from telemetry.correlation import bind_correlation_id
from telemetry.identifiers import new_id, new_payment_id
from telemetry.tracing import annotate, annotate_transaction, traced, transaction_carrier
from x402.chain.network_settings import Asset, Network, network_of, networks
from x402.chain.verification_state import AuthorizationState, ChainState, authorization_state, require_payable
from x402.facilitators import remote_rows
from x402.models import Payment, PaymentState, SettlementAttempt
from x402.models.payment import SettleOrder
from x402.models.signed_transfer import signed_transfer
from x402.pricing import Quotation
from x402.protocol import quote_token
from x402.protocol.errors import MalformedPayment, PaymentRefused, QuoteRefused
from x402.protocol.payload import Payload, Permit2Authorization, SignedTransfer, read_payload
from x402.protocol.quote_token import QuoteToken
from x402.protocol.requirements import Requirements, require_accepted
from x402.protocol.schemes.exact_eip3009 import SETTLEMENT_BUDGET_SECONDS
from x402.selectors.payments import payment_by_replay_key
from x402.services import exposure, payment_rows, purchases, ways_to_pay
from x402.services.endpoints import Endpoint
from x402.services.facilitator_choice import rpc_of
from x402.services.keys import hash_of
from x402.services.offers import quote_keys
from x402.services.paid_requests import PaidRequest
from x402.services.span_facts import model_of
from x402.services.ways_to_pay import Way

CLAIM_MARGIN_SECONDS = 5
BLOCKS_TO_INCLUDE = 2
ATTEMPTS_MAX = 5  # transactions that may carry one payment; each that reverts costs us gas
LONGEST_LIFE_SECONDS = 24 * 3600  # until it ends an unpaid authorization must be watched, since it may come back (R5)


@dataclass(frozen=True, slots=True)
class Presented:
    """A decoded payment whose signature holds."""

    payload: Payload
    authorization: SignedTransfer
    way: Way
    network: Network
    asset: Asset
    quote_token: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed before the payment: the quote it echoes, if any, and the version of the price it was made for.

    `seen` is what the chain said of the payer then; without it the money has moved already.
    """

    quote: QuoteToken | None
    price_version: int
    seen: ChainState | None = None


class NonceAlreadyUsed(Exception):
    """Raised when the chain shows the nonce used: by a transfer that may still be for this quote, or not (R11)."""

    def __init__(self, quote: QuoteToken | None, price_version: int) -> None:
        super().__init__("this authorization was used or cancelled")
        self.quote = quote
        self.price_version = price_version


class PurchaseUnderWay(Exception):
    """Raised when another payment is buying under the same key; this one was not taken."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment.pk)
        self.payment = payment


def decode(incoming: PaidRequest) -> Presented:
    """The payment of this request, with its signature checked locally. Changes nothing, asks nobody.

    Raises PaymentRefused with the specification's reason, MalformedPayment.
    """
    if incoming.header is None:
        raise MalformedPayment("invalid_payment_header", "There is no payment.")
    payload = read_payload(incoming.header)
    network = network_of(payload.network)
    if network is None:
        raise PaymentRefused("invalid_network", "This network is not offered.")
    asset = network.asset_at(payload.accepted.asset) if payload.accepted else network.assets[0]
    if asset is None:
        raise PaymentRefused("invalid_payment_requirements", "This asset is not offered.")
    way = ways_to_pay.way_of(payload)
    ways_to_pay.require_signature(
        ways_to_pay.requirements_of(way, network, asset, amount_micro_usdc=0), payload.authorization
    )
    incoming.quote_token = payload.quote_token or ""
    if payload.payment_identifier:
        identifier = hash_of(payload.payment_identifier)
        if incoming.key_hash not in ("", identifier):
            raise MalformedPayment("ambiguous_payment", "Idempotency-Key and payment-identifier differ.")
        incoming.key_hash = identifier
    return Presented(payload, payload.authorization, way, network, asset, incoming.quote_token)


def known_payment(presented: Presented) -> Payment | None:
    """The row of this authorization, whatever its spelling (R18), or None."""
    return payment_by_replay_key(
        presented.network.caip2,
        verifying_contract=ways_to_pay.verifying_contract_of(presented.way, presented.asset),
        payer="0x" + presented.authorization.from_.hex(),
        nonce="0x" + presented.authorization.nonce_bytes.hex(),
    )


@traced(names.X402_VERIFY)
def verify(
    presented: Presented, *, incoming: PaidRequest, endpoint: Endpoint, quotation: Quotation
) -> tuple[Payment, bool]:
    """The row of a payment that passes every check, and whether this call made it.

    Asks the chain in one batched call. Raises PaymentRefused (402), QuoteRefused's reasons among them, and
    NonceAlreadyUsed (409). Locks nothing; of concurrent calls for one authorization one inserts.
    """
    quote = _quote_of(presented, incoming)
    agreed = _agreed_price(presented, incoming, endpoint, quotation=quotation, quote=quote)
    credit_applied = quote.credit_applied_micro_usdc if quote else 0
    if presented.way not in ways_to_pay.ways_offered(endpoint, presented.asset, with_credit=credit_applied > 0):
        raise PaymentRefused("unsupported_scheme", "This resource does not offer to be paid this way.")
    requirements = ways_to_pay.requirements_of(
        presented.way,
        presented.network,
        presented.asset,
        amount_micro_usdc=agreed.max_cost_micro_usdc - credit_applied,
        token=presented.quote_token,
    )
    offered = ways_to_pay.at_retired_address(requirements, presented.network, presented.authorization)
    _require_terms(presented, incoming, ways_to_pay.as_offered(offered, presented.authorization))
    seen = authorization_state(
        rpc_of(presented.network.caip2),
        presented.authorization,
        asset=presented.asset.address,
        multicall3=presented.network.multicall3,
    )
    if seen.authorizations[0].is_used:
        raise NonceAlreadyUsed(quote, agreed.price_version)
    _require_chain(presented, seen.authorizations[0], chain_now=seen.block.timestamp)
    return insert(presented, incoming=incoming, endpoint=endpoint, agreed=Agreed(quote, agreed.price_version, seen))


def _quote_of(presented: Presented, incoming: PaidRequest) -> QuoteToken | None:
    """The quote a version 2 payment echoes; version 1 echoes nothing."""
    if not presented.quote_token:
        if presented.payload.version == 2:
            raise PaymentRefused(
                "invalid_payment_requirements", "accepted.extra.quote is missing: echo the offer whole."
            )
        return None
    try:
        quote = quote_token.read(presented.quote_token, keys=quote_keys(), now=int(time.time()))
    except QuoteRefused as refusal:
        code = "quote_expired" if refusal.reason == "expired" else "quote_unknown"
        raise PaymentRefused(code, refusal.detail) from None
    if quote.request_hash.hex() != incoming.request_hash:
        raise PaymentRefused("request_changed", "This quote is for another request.")
    if quote.wallet is not None and quote.wallet != presented.authorization.from_:
        raise PaymentRefused("credit_changed", "This quote applies another wallet's credit.")
    return quote


def _agreed_price(
    presented: Presented,
    incoming: PaidRequest,
    endpoint: Endpoint,
    *,
    quotation: Quotation,
    quote: QuoteToken | None,
) -> Quotation:
    """The price this payment was made for, computed anew: the quote is evidence, not authority (R20)."""
    value = presented.authorization.value
    if quote is None:
        if value == quotation.max_cost_micro_usdc:
            return quotation
        earlier = getattr(endpoint.price, "maximum_within", None)
        candidates = earlier(incoming.priced, loa("QUOTE_TTL_SECONDS")) if earlier else []
        return next((one for one in candidates if one.max_cost_micro_usdc == value), quotation)
    if quote.price_version == quotation.price_version:
        agreed: Quotation | None = quotation
    else:
        agreed = endpoint.price.maximum_at(incoming.priced, quote.price_version)
    if agreed is None:
        raise PaymentRefused("quote_revoked", "The price of this quote was revoked.")
    if agreed.max_cost_micro_usdc != quote.max_cost_micro_usdc:
        raise PaymentRefused("quote_unknown", "The quote does not say what this request costs.")
    return agreed


def _require_terms(presented: Presented, incoming: PaidRequest, requirements: Requirements) -> None:
    payload = presented.payload
    if payload.accepted is not None:
        require_accepted(requirements, payload.accepted)
    if payload.resource_url is not None and payload.resource_url != incoming.url:
        raise PaymentRefused("resource_mismatch", "This payment is for another resource.")
    ways_to_pay.require_terms(requirements, presented.authorization)
    if presented.authorization.value > loa("PAYMENT_CEILING_MICRO_USDC"):
        raise PaymentRefused("invalid_exact_evm_payload_authorization_value", "The payment is above the ceiling.")
    if presented.authorization.valid_before > int(time.time()) + LONGEST_LIFE_SECONDS:
        raise PaymentRefused(
            "invalid_exact_evm_payload_authorization_valid_before", "An authorization must end within 24 hours."
        )
    budget = SETTLEMENT_BUDGET_SECONDS + int(BLOCKS_TO_INCLUDE * presented.network.block_seconds)
    ways_to_pay.require_window(presented.authorization, now=int(time.time()), settlement_budget_seconds=budget)


def _require_chain(presented: Presented, state: AuthorizationState, *, chain_now: int) -> None:
    require_payable(state, value=presented.authorization.value)
    if presented.authorization.valid_before <= chain_now:
        raise PaymentRefused("invalid_exact_evm_payload_authorization_valid_before", "The authorization has expired.")


def _row(
    presented: Presented,
    incoming: PaidRequest,
    endpoint: Endpoint,
    *,
    agreed: Agreed,
) -> Payment:
    quote = agreed.quote
    authorization = presented.authorization
    payer = "0x" + authorization.from_.hex()
    correlation_id = quote.quote_id if quote else new_id("quo")
    bind_correlation_id(correlation_id)
    trace = transaction_carrier() or propagation.unpacked(quote.trace_context if quote else None)
    facilitator = authorization.facilitator if isinstance(authorization, Permit2Authorization) else None
    payment = Payment(
        id=new_payment_id(),
        method=presented.way.method,
        scheme=presented.way.scheme,
        protocol_version=presented.payload.version,
        network=presented.network.caip2,
        verifying_contract=ways_to_pay.verifying_contract_of(presented.way, presented.asset),
        payer=payer,
        nonce="0x" + authorization.nonce_bytes.hex(),
        asset=presented.asset.address.lower(),
        pay_to="0x" + authorization.to.hex(),
        amount_micro_usdc=authorization.value,
        credit_applied_micro_usdc=quote.credit_applied_micro_usdc if quote else 0,
        valid_after=authorization.valid_after,
        valid_before=authorization.valid_before,
        signature=authorization.signature,
        facilitator="0x" + facilitator.hex() if facilitator else "",
        spendable_micro_usdc=agreed.seen.authorizations[0].spendable if agreed.seen else None,
        spendable_block=agreed.seen.block.number if agreed.seen else None,
        settle_order=ways_to_pay.settle_order(endpoint, presented.way) if agreed.seen else SettleOrder.BEFORE,
        request_hash=incoming.request_hash,
        request_method=incoming.priced.method[:8],
        request_path=incoming.priced.path[:512],
        quote_id=correlation_id,
        quote_token_hash=quote_token.token_hash(presented.quote_token) if presented.quote_token else "",
        price_version=agreed.price_version,
        idempotency_key_hash=incoming.key_hash,
        correlation_id=correlation_id,
        trace_context=trace.get(propagation.TRACEPARENT, incoming.traceparent),
        **_whose(incoming, payer),
        entry_id=new_id("ent"),
        on_crash=endpoint.on_crash,
        lease_until=claim_until(),
    )
    annotate({names.PAYMENT_ID: payment.pk, names.WALLET_ADDRESS: payer})
    annotate_transaction(
        {
            names.QUOTE_ID: correlation_id,
            names.MODEL: model_of(incoming.priced),
            names.MAX_COST: quote.max_cost_micro_usdc if quote else authorization.value,
        }
    )
    return payment


def _whose(incoming: PaidRequest, payer: str) -> dict[str, str | int]:
    """Whom the payment is for: the payer's account, or the one it buys credit for, and how much."""
    purchase = incoming.purchase
    if purchase is None:
        return {"account_id": account_id_of_wallet(payer)}
    account_id = purchase.account_for(payer)
    bought: dict[str, str | int] = {
        "minted_micro_usd": purchase.minted_micro_usd,
        "purchase_key": purchase.key_for(account_id),
    }
    return {"account_id": account_id, **bought}


def insert(
    presented: Presented,
    *,
    incoming: PaidRequest,
    endpoint: Endpoint,
    agreed: Agreed,
    failure_code: str = "",
) -> tuple[Payment, bool]:
    """The row of this authorization, and whether this call made it: the replay guard.

    `failure_code` marks a payment that will not be served from its first moment on.
    """
    payment = _row(presented, incoming, endpoint, agreed=agreed)
    payment.failure_code = failure_code
    is_deferred = payment.settle_order == SettleOrder.DEFERRED
    is_new = exposure.insert_within_limits(payment) if is_deferred else payment_rows.insert(payment)
    annotate({names.IS_REPLAY: not is_new})
    if is_new:
        return payment, True
    known = known_payment(presented)
    if known is not None:
        return known, False
    bought = purchases.earlier(incoming.purchase, payer=payment.payer) if incoming.purchase else None
    if bought is not None:
        raise PurchaseUnderWay(bought)
    raise Payment.DoesNotExist(payment.pk)


def our_addresses(network: Network) -> frozenset[bytes]:
    """The addresses at which money on this network is ours: the offered one and those offered before."""
    return frozenset(bytes.fromhex(address[2:]) for address in (network.pay_to, *network.pay_to_retired))


def claim_until() -> datetime:
    """How long a live request may wait for its payment; a payment without a live claim is not settled."""
    return timezone.now() + timedelta(seconds=loa("WAIT_SECONDS") + CLAIM_MARGIN_SECONDS)


def credit_deadline() -> int:
    """When a credit spend that was never held is given up. Units: Unix seconds."""
    return int(datetime.now(tz=UTC).timestamp()) + loa("QUOTE_TTL_SECONDS")


def is_public(payment: Payment) -> bool:
    """Whether the chain shows this authorization already, whoever carried it; then its payload proves nothing (R1).

    Raises RpcFailure.
    """
    return _chain_state(payment).is_used


def may_be_sent_again(payment: Payment) -> bool:
    """Whether another transaction could settle this payment: the nonce is unused, the balance covers it, and it has
    not failed too often already. Otherwise a payer whose money is gone could have us pay gas for every retry.

    An unreachable chain says nothing, and nothing is sent then.
    """
    if SettlementAttempt.objects.filter(payment_id=payment.pk).count() >= ATTEMPTS_MAX:
        return False
    if not remote_rows.may_be_released(payment.pk):
        return False
    try:
        require_payable(_chain_state(payment), value=payment.due_micro_usdc)
    except (RpcFailure, PaymentRefused):
        return False
    remote_rows.close([payment.pk])
    return True


def require_payable_now(payment: Payment, *, amount_micro_usdc: int) -> None:
    """Refuse what the chain would no longer move. Raises PaymentRefused, RpcFailure."""
    require_payable(_chain_state(payment), value=amount_micro_usdc)


def _chain_state(payment: Payment) -> AuthorizationState:
    return authorization_state(
        rpc_of(payment.network),
        signed_transfer(payment),
        asset=payment.asset,
        multicall3=networks()[payment.network].multicall3,
    ).authorizations[0]


def renew_claim(payment: Payment) -> None:
    """A live request waits for this payment again: let it be settled."""
    until = claim_until()
    renewed = Payment.objects.filter(
        Q(state=PaymentState.VERIFIED) | Q(state=PaymentState.SETTLEMENT_UNKNOWN), pk=payment.pk
    ).update(lease_until=until)
    if renewed:
        payment.lease_until = until
