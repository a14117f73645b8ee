"""Without an index: the wallet's incoming transfers from a node's logs, each then confirmed by the contract itself.

Never a scan of ids. The logs say which tokens may have come; `ownerOf` and `balanceOf`, many in one Multicall3 call,
say which are still there. A history too long for the node's limits is a failure, not an empty list.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from eth_abi import abi
from web3 import Web3

from nft.detectors.base import Budget
from nft.detectors.multicall import WORD_BYTES, aggregate, failures_as_one, word_of_address
from nft.domain.errors import DetectorFailed
from nft.domain.tokens import Collection, OwnedToken, Standard
from outbound.json_rpc import Json, RpcClient, RpcRefused, bytes_of, number_of

TRANSFER: Final = Web3.to_hex(Web3.keccak(text="Transfer(address,address,uint256)"))
TRANSFER_SINGLE: Final = Web3.to_hex(Web3.keccak(text="TransferSingle(address,address,address,uint256,uint256)"))
TRANSFER_BATCH: Final = Web3.to_hex(Web3.keccak(text="TransferBatch(address,address,address,uint256[],uint256[])"))
OWNER_OF: Final = Web3.keccak(text="ownerOf(uint256)")[:4]
BALANCE_OF: Final = Web3.keccak(text="balanceOf(address,uint256)")[:4]
LOG_CALLS_MAX: Final = 40  # a node that answers only short ranges is not the place to read a long history from
CALLS_PER_AGGREGATE: Final = 200
RECENT_BLOCKS: Final = 50_000  # about a day of Base
TRANSFERS_LOOKED_AT: Final = 20

Candidate = tuple[Collection, int]


class RpcNFTDetector:
    """Asks our own nodes. `nodes` and `multicalls` map a chain to its client and to its Multicall3."""

    name = "rpc_fallback"

    def __init__(self, nodes: Mapping[str, RpcClient], multicalls: Mapping[str, str]) -> None:
        self._nodes = dict(nodes)
        self._multicalls = dict(multicalls)

    def covers(self, chain: str) -> bool:
        """Whether we have a node of this chain."""
        return chain in self._nodes

    def tokens_of(self, wallet: str, collections: Sequence[Collection], budget: Budget) -> list[OwnedToken]:
        """Every token of these collections that the wallet owns now. Raises DetectorFailed."""
        tokens: list[OwnedToken] = []
        for chain in sorted({collection.chain for collection in collections}):
            known = [collection for collection in collections if collection.chain == chain]
            with failures_as_one():
                candidates = sorted(set(self._received(chain, wallet, known, budget)))
                tokens += self._confirmed(chain, wallet, candidates, budget)
        return tokens

    def latest_holder(self, collection: Collection, budget: Budget) -> tuple[str, int] | None:
        """A wallet that owns a token of an ERC-721 collection now, and the token: of the newest transfers the first.

        None when there was no transfer lately. Raises DetectorFailed.
        """
        node = self._nodes[collection.chain]
        with failures_as_one():
            head = number_of(node.call("eth_blockNumber", timeout_seconds=budget.left_seconds()))
            recent = (max(collection.from_block, head - RECENT_BLOCKS), head)
            wanted = {"address": collection.address, "topics": [TRANSFER]}
            logs = list(logs_between(node, wanted, ranges=[recent], budget=budget))
            for log in logs[: -TRANSFERS_LOOKED_AT - 1 : -1]:
                wallet, [number] = "0x" + str(topics_of(log)[2])[-40:], ids_of(log)
                if self._confirmed(collection.chain, wallet, [(collection, number)], budget):
                    return wallet, number
        return None

    def _received(
        self, chain: str, wallet: str, collections: Sequence[Collection], budget: Budget
    ) -> Iterator[Candidate]:
        node = self._nodes[chain]
        head = number_of(node.call("eth_blockNumber", timeout_seconds=budget.left_seconds()))
        to_wallet = "0x" + wallet.removeprefix("0x").rjust(2 * WORD_BYTES, "0")
        for standard, topics in (
            (Standard.ERC721, [TRANSFER, None, to_wallet]),
            (Standard.ERC1155, [[TRANSFER_SINGLE, TRANSFER_BATCH], None, None, to_wallet]),
        ):
            known = {one.address: one for one in collections if one.standard is standard}
            if not known:
                continue
            wanted = {"address": sorted(known), "topics": topics}
            start = min(one.from_block for one in known.values())
            for log in logs_between(node, wanted, ranges=[(start, head)], budget=budget):
                collection = known[str(log["address"]).lower()]
                yield from ((collection, number) for number in ids_of(log))

    def _confirmed(self, chain: str, wallet: str, candidates: Sequence[Candidate], budget: Budget) -> list[OwnedToken]:
        owned = []
        for start in range(0, len(candidates), CALLS_PER_AGGREGATE):
            part = candidates[start : start + CALLS_PER_AGGREGATE]
            questions = [(one.address, _question(one, wallet, number)) for one, number in part]
            replies = aggregate(self._nodes[chain], self._multicalls[chain], questions, budget)
            for (collection, number), (succeeded, returned) in zip(part, replies, strict=True):
                balance = _balance(collection, wallet, returned) if succeeded else 0
                if balance:
                    name = f"{collection.name} #{number}".strip()
                    owned.append(OwnedToken(chain, collection.address, str(number), name, balance))
        return owned


def ids_of(log: Mapping[str, Json]) -> list[int]:
    """The tokens that a transfer moved. Raises ValueError and its like for what cannot be read."""
    topics = topics_of(log)
    kind, data = str(topics[0]), bytes_of(log["data"])
    if kind == TRANSFER:
        return [int(str(topics[3]), 16)]
    if kind == TRANSFER_SINGLE:
        return [int.from_bytes(data[:WORD_BYTES], "big")]
    return [int(number) for number in abi.decode(["uint256[]", "uint256[]"], data)[0]]


def topics_of(log: Mapping[str, Json]) -> list[Json]:
    """A log's topics. Raises ValueError where there are none."""
    topics = log["topics"]
    if not isinstance(topics, list):
        raise ValueError("a log has no topics")
    return topics


def _question(collection: Collection, wallet: str, number: int) -> bytes:
    token = number.to_bytes(WORD_BYTES, "big")
    if collection.standard is Standard.ERC721:
        return bytes(OWNER_OF) + token
    return bytes(BALANCE_OF) + word_of_address(wallet) + token


def _balance(collection: Collection, wallet: str, returned: bytes) -> int:
    word = returned[:WORD_BYTES]
    if len(word) != WORD_BYTES:
        return 0
    if collection.standard is Standard.ERC1155:
        return int.from_bytes(word, "big")
    return int(word[-20:] == bytes.fromhex(wallet.removeprefix("0x")))


def logs_between(
    node: RpcClient, wanted: Mapping[str, object], *, ranges: list[tuple[int, int]], budget: Budget
) -> Iterator[Mapping[str, Json]]:
    """Logs of block ranges; a range that the node declines is halved, up to a number of calls.

    Run it inside `failures_as_one`. Raises DetectorFailed.
    """
    calls = 0
    while ranges:
        start, end = ranges.pop()
        calls += 1
        if calls > LOG_CALLS_MAX:
            raise DetectorFailed("the history is too long for this node")
        document = dict(wanted) | {"fromBlock": hex(start), "toBlock": hex(end)}
        try:
            answer = node.call("eth_getLogs", [document], timeout_seconds=budget.left_seconds())
        except RpcRefused as error:
            if start >= end:
                raise DetectorFailed("a node declines to give logs") from error
            middle = (start + end) // 2
            ranges += [(start, middle), (middle + 1, end)]
            continue
        if not isinstance(answer, list):
            raise ValueError("logs are no list")
        yield from (log for log in answer if isinstance(log, dict))
