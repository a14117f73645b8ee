"""What is sold here, for agents that look for it: from the URLconf alone, never from what anyone sent (attack 14).

A listing says what a request would be offered now, without a quote: terms to pay come with the 402 alone. A price that
depends on the request has no terms here; its listing says where to ask. Source: x402 v2, bazaar discovery.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from telemetry.configuration import loa
from x402.chain.network_settings import networks
from x402.pricing import PricedRequest
from x402.protocol.errors import ProtocolError
from x402.protocol.strict_json import JsonObject, JsonValue
from x402.services import signed_statements, ways_to_pay
from x402.services.endpoints import Endpoint
from x402.services.quotes import ENDPOINT_ATTRIBUTE

PAGE_SIZE: Final = 20
PAGE_SIZE_MAX: Final = 100
_PARAMETER: Final = re.compile(r"<(?:[^:>]+:)?([^>]+)>")


@dataclass(frozen=True, slots=True)
class Listing:
    """One paid endpoint and its path, parameters in braces."""

    path: str
    endpoint: Endpoint


@lru_cache(maxsize=1)
def listings() -> tuple[Listing, ...]:
    """Every paid endpoint of this site, by path. Read once per process: URLs change by restart only."""
    found = {listing.path: listing for listing in _paid(get_resolver().url_patterns, "/")}
    return tuple(found[path] for path in sorted(found))


def page(*, limit: int, offset: int) -> JsonObject:
    """One page of resources in the discovery format."""
    everything = listings()
    items: list[JsonValue] = [_item(listing) for listing in everything[offset : offset + limit]]
    return {
        "x402Version": 2,
        "items": items,
        "pagination": {"limit": limit, "offset": offset, "total": len(everything)},
    }


def well_known() -> JsonObject:
    """`/.well-known/x402`: the resources of this origin, and where their terms and their facilitator are."""
    origin = loa("PUBLIC_ORIGIN")
    return {
        "version": 1,
        "x402Version": 2,
        "resources": [origin + listing.path for listing in listings()],
        "facilitator": f"{origin}/facilitator",
        "discovery": f"{origin}/facilitator/discovery/resources",
        "signers": list[JsonValue](signed_statements.signer_addresses()),
        "payTo": {network.caip2: network.pay_to for network in networks().values()},
    }


def _paid(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[Listing]:
    for entry in patterns:
        if not isinstance(entry.pattern, RoutePattern):
            continue  # a path by regular expression has no one address
        path = prefix + _PARAMETER.sub(r"{\1}", str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from _paid(entry.url_patterns, path)
            continue
        endpoint = getattr(entry.callback, ENDPOINT_ATTRIBUTE, None)
        if isinstance(endpoint, Endpoint):
            yield Listing(path, endpoint)


def _item(listing: Listing) -> JsonObject:
    endpoint = listing.endpoint
    accepts = _accepts(listing)
    metadata: JsonObject = {"description": endpoint.description, "mimeType": endpoint.mime_type}
    if not accepts:
        metadata["pricing"] = "depends on the request: send it without a payment to see its terms"
    if "{" in listing.path:
        metadata["routeTemplate"] = listing.path
    return {
        "resource": loa("PUBLIC_ORIGIN") + listing.path,
        "type": "http",
        "x402Version": 2,
        "accepts": accepts,
        "lastUpdated": 0,
        "metadata": metadata,
    }


def _accepts(listing: Listing) -> list[JsonValue]:
    """What every request to this path would be offered, when one price holds for all of them."""
    request = PricedRequest(method="GET", path=listing.path, query=(), media_type="", json=None, body=b"")
    try:
        amount = listing.endpoint.price.maximum(request).max_cost_micro_usdc
    except (ProtocolError, LookupError, TypeError, ValueError, AttributeError):
        return []  # the price wants to see a body
    return [
        ways_to_pay.requirements_of(way, network, asset, amount_micro_usdc=amount).to_v2()
        for network in networks().values()
        for asset in network.assets
        for way in ways_to_pay.ways_offered(listing.endpoint, asset)
    ]
