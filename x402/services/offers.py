"""Terms: what an unpaid or refused request is answered with. Nothing is written (decision 2).

Each 402 carries one quote: a signed token that names the request, the maximum cost, the price version, the rate and
the time it ends. Version 2 clients echo it in `accepted.extra.quote`; it never appears on the chain, so whoever shows
it later is the payer's side (R1). Both protocol versions are on the same answer.
"""

import json
import secrets
import time
from dataclasses import dataclass

from django.http import HttpResponse

from telemetry import names, propagation
from telemetry.configuration import loa
from telemetry.correlation import bind_correlation_id
from telemetry.problem import MEDIA_TYPE, problem_body
from telemetry.tracing import annotate_transaction, traced, transaction_carrier
from x402.chain.network_settings import Network, default_network, networks
from x402.metrics import QUOTES
from x402.pricing import Quotation
from x402.protocol import headers, offer_receipt, payment_identifier, quote_token, siwx
from x402.protocol.errors import PaymentRefused, UnpriceableRequest
from x402.protocol.quote_token import QuoteToken
from x402.protocol.requirements import Requirements, Resource, payment_required_v1, payment_required_v2
from x402.protocol.strict_json import JsonValue
from x402.services import signed_statements
from x402.services.endpoints import Endpoint
from x402.services.paid_requests import PaidRequest
from x402.services.responses import keep_private, unpriceable
from x402.services.span_facts import model_of
from x402.services.ways_to_pay import requirements_of, ways_offered


@dataclass(frozen=True, slots=True)
class Offer:
    """A quote and the ways to pay it."""

    quote_id: str
    token: str
    max_cost_micro_usdc: int
    price_version: int
    credit_applied_micro_usdc: int
    expires_at: int
    resource: Resource
    accepts: tuple[Requirements, ...]


def quote_keys() -> dict[str, bytes]:
    """The keys that may have signed a quote, by id; old ones stay until the last quote they signed has ended."""
    return {key_id: secret.encode() for key_id, secret in loa("QUOTE_KEYS").items()}


@traced(names.X402_QUOTE)
def make_offer(
    endpoint: Endpoint, incoming: PaidRequest, quotation: Quotation, *, credit_applied_micro_usdc: int = 0
) -> Offer:
    """A fresh quote for this request, with an offer per accepted network and asset.

    Units: MicroUSDC, Unix seconds. Raises UnpriceableRequest when one payment may not be that large.
    """
    if quotation.max_cost_micro_usdc > loa("PAYMENT_CEILING_MICRO_USDC"):
        raise UnpriceableRequest("price_above_ceiling", "This request could cost more than one payment may.")
    now = int(time.time())
    expires_at = now + loa("QUOTE_TTL_SECONDS")
    quote = QuoteToken(
        random=secrets.token_bytes(16),
        request_hash=bytes.fromhex(incoming.request_hash),
        max_cost_micro_usdc=quotation.max_cost_micro_usdc,
        price_version=quotation.price_version,
        rate=(quotation.rate.numerator, quotation.rate.denominator),
        issued_at=now,
        expires_at=expires_at,
        trace_context=propagation.packed(transaction_carrier().get(propagation.TRACEPARENT, incoming.traceparent)),
        wallet=bytes.fromhex(incoming.wallet[2:]) if credit_applied_micro_usdc else None,
        credit_applied_micro_usdc=credit_applied_micro_usdc,
    )
    token = quote_token.issue(quote, key_id=loa("QUOTE_KEY_ACTIVE"), secret=quote_keys()[loa("QUOTE_KEY_ACTIVE")])
    quote_id = quote.quote_id
    bind_correlation_id(quote_id)
    annotate_transaction(
        {
            names.QUOTE_ID: quote_id,
            names.MODEL: model_of(incoming.priced),
            names.MAX_COST: quotation.max_cost_micro_usdc,
        }
    )
    QUOTES.inc()
    return Offer(
        quote_id=quote_id,
        token=token,
        max_cost_micro_usdc=quotation.max_cost_micro_usdc,
        price_version=quotation.price_version,
        credit_applied_micro_usdc=credit_applied_micro_usdc,
        expires_at=expires_at,
        resource=Resource(
            url=incoming.url,
            description=quotation.description or endpoint.description,
            mime_type=endpoint.mime_type,
        ),
        accepts=tuple(
            requirements_of(way, network, asset, amount_micro_usdc=quote.amount_micro_usdc, token=token)
            for network in _default_first()
            for asset in network.assets
            for way in ways_offered(endpoint, asset, with_credit=credit_applied_micro_usdc > 0)
        ),
    )


def _default_first() -> list[Network]:
    """All networks; most clients take the first offer they can pay, so the site's own choice stands first."""
    first = default_network()
    return [first, *(network for network in networks().values() if network is not first)]


def _extensions(offer: Offer, incoming: PaidRequest) -> dict[str, JsonValue]:
    """What comes with the terms: that a purchase may be named, how to prove a wallet, our signature under the offer."""
    extensions: dict[str, JsonValue] = {payment_identifier.EXTENSION: payment_identifier.declaration()}
    if incoming.sign_in:
        extensions[siwx.EXTENSION] = incoming.sign_in.to_extension()
    signed = signed_statements.offers_extension(
        offer.accepts, resource_url=offer.resource.url, valid_until=offer.expires_at
    )
    if signed is not None:
        extensions[offer_receipt.EXTENSION] = signed
    return extensions


def challenge(
    endpoint: Endpoint,
    incoming: PaidRequest,
    quotation: Quotation,
    *,
    refusal: PaymentRefused | None = None,
    credit_applied_micro_usdc: int = 0,
) -> HttpResponse:
    """402 with terms in both protocol versions, and what was wrong with the payment when there was one."""
    try:
        offer = make_offer(endpoint, incoming, quotation, credit_applied_micro_usdc=credit_applied_micro_usdc)
    except UnpriceableRequest as unpriced:
        return unpriceable(unpriced)
    error = refusal.reason if refusal else ""
    detail = refusal.detail if refusal else "This request costs money; sign one of the offers and send it again."
    body = problem_body(
        error or "payment_required",
        402,
        detail,
        quote_id=offer.quote_id,
        max_cost_micro_usdc=str(offer.max_cost_micro_usdc),
        credit_applied_micro_usdc=str(offer.credit_applied_micro_usdc),
        expires_at=offer.expires_at,
    )
    body |= payment_required_v1(offer.accepts, resource=offer.resource, error=error or "payment_required")
    response = HttpResponse(json.dumps(body), content_type=MEDIA_TYPE, status=402)
    response[headers.PAYMENT_REQUIRED] = headers.encode_object(
        payment_required_v2(
            offer.accepts,
            resource=offer.resource,
            error=error,
            extensions=_extensions(offer, incoming),
        )
    )
    keep_private(response)
    return response
