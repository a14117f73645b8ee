"""The collections and chains that the settings name, typed and in one spelling."""

import functools
import json
from collections.abc import Mapping, Sequence

from nft.detectors.alchemy import AlchemyNFTDetector
from nft.detectors.rpc import RpcNFTDetector
from nft.detectors.token_reads import TokenReads
from nft.domain.errors import CollectionUnknown, InvalidToken
from nft.domain.tokens import Collection, Standard, canonical_chain, canonical_collection, canonical_token_id
from outbound.json_rpc import RpcClient
from telemetry.configuration import loa
from telemetry.networks import MULTICALL3


def known_collections() -> tuple[Collection, ...]:
    """Every collection of `NFT_COLLECTIONS`, whose keys are CAIP-19: `eip155:8453/erc721:0x…`.

    Raises ValueError for an entry that cannot be read.
    """
    return _collections(json.dumps(loa("NFT_COLLECTIONS"), sort_keys=True))


def collection_of(address: str, *, chain: str = "") -> Collection:
    """The known collection at an address; without a chain, the only one there.

    Raises InvalidToken, CollectionUnknown.
    """
    try:
        wanted = canonical_collection(address)
    except ValueError as error:
        raise InvalidToken(str(error)) from error
    found = [one for one in known_collections() if one.address == wanted and chain in ("", one.chain)]
    if len(found) != 1:
        raise CollectionUnknown("This site knows no collection at that address, or several; name its chain.")
    return found[0]


def token_id_of(text: str) -> str:
    """A token id in its one spelling. Raises InvalidToken."""
    try:
        return canonical_token_id(text)
    except ValueError as error:
        raise InvalidToken(str(error)) from error


def alchemy_detector() -> AlchemyNFTDetector | None:
    """The indexer's detector, or None where no ALCHEMY_API_KEY is set: then the nodes are asked alone."""
    api_key = loa("ALCHEMY_API_KEY")
    return AlchemyNFTDetector(api_key, base_urls=_addresses("alchemy_url")) if api_key else None


def rpc_detector() -> RpcNFTDetector:
    """The detector that asks the nodes of `NFT_CHAINS`, and those we settle payments over."""
    return RpcNFTDetector(*_reach(json.dumps(_nodes(), sort_keys=True)))


def token_reads() -> TokenReads:
    """What asks the same nodes about single tokens and about delegation."""
    return TokenReads(*_reach(json.dumps(_nodes(), sort_keys=True)))


def node_of(chain: str) -> RpcClient | None:
    """The client of a chain's nodes, or None where we have none."""
    nodes, _multicalls = _reach(json.dumps(_nodes(), sort_keys=True))
    return nodes.get(chain)


@functools.lru_cache(maxsize=4)
def _reach(nodes: str) -> tuple[Mapping[str, RpcClient], Mapping[str, str]]:
    """The client of each chain's nodes, kept because it remembers which node rests, and the chain's Multicall3."""
    chains: Mapping[str, Sequence[str]] = json.loads(nodes)
    multicalls = {chain: str(_facts(chain).get("multicall3", MULTICALL3)) for chain in chains}
    return {chain: RpcClient(urls) for chain, urls in chains.items()}, multicalls


def _nodes() -> dict[str, list[str]]:
    nodes = {chain: list(facts["rpc_urls"]) for chain, facts in loa("NETWORKS").items() if facts.get("rpc_urls")}
    for chain in loa("NFT_CHAINS"):
        urls = _facts(chain).get("rpc_urls")
        if isinstance(urls, list | tuple) and urls:
            nodes[canonical_chain(chain)] = [str(url) for url in urls]
    return nodes


def _addresses(fact: str) -> dict[str, str]:
    return {chain: str(_facts(chain)[fact]) for chain in loa("NFT_CHAINS") if _facts(chain).get(fact)}


def _facts(chain: str) -> Mapping[str, object]:
    return loa("NFT_CHAINS").get(chain, {})


@functools.lru_cache(maxsize=4)
def _collections(document: str) -> tuple[Collection, ...]:
    made = {}
    for asset, facts in json.loads(document).items():
        chain, _, contract = asset.partition("/")
        standard, _, address = contract.partition(":")
        collection = Collection(
            chain=canonical_chain(chain),
            address=canonical_collection(address),
            name=str(facts.get("name", ""))[:120],
            standard=Standard(standard),
            from_block=int(facts.get("from_block", 0)),
        )
        made[collection.key] = collection
    return tuple(sorted(made.values()))
