"""What our facilitator settles, as `/supported` lists it. Source: x402 v2 §7.3."""

from typing import Final

from x402.chain.network_settings import Network, networks
from x402.models.payment import Method
from x402.protocol import offer_receipt, payment_identifier, siwx
from x402.protocol.networks import v1_name_to_emit
from x402.protocol.strict_json import JsonObject, JsonValue
from x402.services.ways_to_pay import relayer_addresses

EXTENSIONS: Final = ("bazaar", offer_receipt.EXTENSION, payment_identifier.EXTENSION, siwx.EXTENSION)


def supported() -> JsonObject:
    """Every kind of payment on every network, version 2 first; and whose transactions carry them."""
    kinds: list[JsonValue] = [kind for network in networks().values() for kind in _kinds_of(network)]
    signers: dict[str, JsonValue] = {network: list[JsonValue](relayer_addresses()) for network in networks()}
    return {"kinds": kinds, "extensions": list[JsonValue](EXTENSIONS), "signers": signers}


def _kinds_of(network: Network) -> list[JsonObject]:
    methods = {method for asset in network.assets for method in asset.transfer_methods}
    kinds: list[JsonObject] = [{"x402Version": 2, "scheme": "exact", "network": network.caip2}]
    if Method.PERMIT2 in methods:
        kinds.append(
            {
                "x402Version": 2,
                "scheme": "upto",
                "network": network.caip2,
                "extra": {"facilitatorAddress": relayer_addresses()[0]},
            }
        )
    name = v1_name_to_emit(network.caip2)
    if name is not None and Method.EIP3009 in methods:
        kinds.append({"x402Version": 1, "scheme": "exact", "network": name})
    return kinds
