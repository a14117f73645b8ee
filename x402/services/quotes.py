"""Quotes someone asked for without paying: the same signed token as in a 402, and a row to find it by its id."""

from datetime import UTC, datetime

from django.http import HttpRequest
from django.urls import resolve

from telemetry import names
from telemetry.tracing import traced
from x402.models import KeptQuote
from x402.protocol.quote_token import token_hash
from x402.services import paid_requests
from x402.services.endpoints import Endpoint
from x402.services.offers import Offer, make_offer
from x402.services.traces import carrier_of_request

ENDPOINT_ATTRIBUTE = "x402_endpoint"


class NotForSale(LookupError):
    """Raised when the path names no paid endpoint."""


def endpoint_at(path: str) -> Endpoint:
    """The paid endpoint mounted at this path. Raises NotForSale."""
    endpoint = getattr(resolve(path).func, ENDPOINT_ATTRIBUTE, None)
    if not isinstance(endpoint, Endpoint):
        raise NotForSale(path)
    return endpoint


@traced(names.X402_TRANSACTION, parent=lambda request, path: carrier_of_request(request))
def keep_quote(request: HttpRequest, *, path: str) -> Offer:
    """Price this request's body as if it had been sent to `path`, and keep the quote.

    Raises UnpriceableRequest (422), MalformedPayment and BodyTooLarge for what cannot be read.
    """
    endpoint = endpoint_at(path)
    incoming = paid_requests.read(request, as_path=path)
    offer = make_offer(endpoint, incoming, endpoint.price.maximum(incoming.priced))
    KeptQuote.objects.create(
        id=offer.quote_id,
        token_hash=token_hash(offer.token),
        request_hash=incoming.request_hash,
        request_method=incoming.priced.method,
        request_path=path[:512],
        description=offer.resource.description[:200],
        max_cost_micro_usdc=offer.max_cost_micro_usdc,
        price_version=offer.price_version,
        wallet=incoming.wallet,
        expires_at=datetime.fromtimestamp(offer.expires_at, tz=UTC),
    )
    return offer
