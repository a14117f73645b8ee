"""The networks this site accepts money on, as settings name them: typed, looked up by CAIP-2 or v1 name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from telemetry.configuration import loa

TRANSFER_METHODS = ("eip3009", "permit2")


@dataclass(frozen=True, slots=True)
class Asset:
    """A token we take. `name` and `version` are its EIP-712 domain; `asset_id` is CAIP-19.

    `transfer_methods` says how it may move: `eip3009` for a token that has it, `permit2` for any that is approved.
    """

    symbol: str
    address: str
    name: str
    version: str
    decimals: int
    asset_id: str
    transfer_methods: tuple[str, ...] = TRANSFER_METHODS


@dataclass(frozen=True, slots=True)
class Network:
    caip2: str
    chain_id: int
    v1_name: str
    rpc_urls: tuple[str, ...]
    confirmations: int
    block_seconds: float
    finality_tag: str
    pay_to: str
    multicall3: str
    permit2: str
    assets: tuple[Asset, ...]
    pay_to_retired: tuple[str, ...] = ()

    def asset_at(self, address: str) -> Asset | None:
        """The accepted asset at this address in any letter case, or None: assets are an allow-list (attack 10)."""
        wanted = address.lower()
        return next((asset for asset in self.assets if asset.address.lower() == wanted), None)


def _network(caip2: str, facts: Mapping[str, Any]) -> Network:
    assets = facts.get("assets")
    if not isinstance(assets, dict):
        raise ValueError(f"LOA['NETWORKS']['{caip2}'] names no assets")
    return Network(
        caip2=caip2,
        chain_id=int(caip2.removeprefix("eip155:")),
        v1_name=str(facts.get("v1_name", "")),
        rpc_urls=tuple(str(url) for url in _sequence(facts.get("rpc_urls"))),
        confirmations=int(str(facts.get("confirmations", 1))),
        block_seconds=float(str(facts.get("block_seconds", 2))),
        finality_tag=str(facts.get("finality_tag", "finalized")),
        pay_to=str(facts["pay_to"]),
        multicall3=str(facts.get("multicall3", "0xcA11bde05977b3631167028862bE2a173976CA11")),
        permit2=str(facts.get("permit2", "0x000000000022D473030F116dDEE9F6B43aC78BA3")),
        assets=tuple(
            Asset(
                symbol=symbol,
                address=str(asset["address"]),
                name=str(asset["name"]),
                version=str(asset["version"]),
                decimals=int(asset["decimals"]),
                asset_id=f"{caip2}/erc20:{str(asset['address']).lower()}",
                transfer_methods=_transfer_methods(asset),
            )
            for symbol, asset in assets.items()
        ),
        pay_to_retired=tuple(str(address) for address in _sequence(facts.get("pay_to_retired"))),
    )


def _transfer_methods(asset: Mapping[str, Any]) -> tuple[str, ...]:
    methods = tuple(str(method) for method in _sequence(asset.get("transfer_methods", TRANSFER_METHODS)))
    if not methods or not set(methods) <= set(TRANSFER_METHODS):
        raise ValueError(f"an asset's transfer_methods are among {', '.join(TRANSFER_METHODS)}")
    return methods


def _sequence(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


@lru_cache(maxsize=1)
def networks() -> dict[str, Network]:
    """All accepted networks by CAIP-2 name. Read once per process: they change by restart only."""
    return {caip2: _network(caip2, facts) for caip2, facts in loa("NETWORKS").items()}


def network_of(name: str) -> Network | None:
    """The network called so in CAIP-2 (v2) or by its v1 name; both spellings are one network (R18)."""
    found = networks().get(name)
    return found or next(
        (network for network in networks().values() if network.v1_name and network.v1_name == name), None
    )


def default_network() -> Network:
    """The network offered first."""
    return networks()[str(loa("DEFAULT_NETWORK"))]
