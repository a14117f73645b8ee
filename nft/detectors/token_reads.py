"""What contracts say about one token and about who may act for whom, asked of our own nodes.

Delegation is delegate.xyz's registry, version 2, which has one address on every chain: a wallet that keeps tokens in a
vault lets another one act for it, for everything, for a contract or for a token. Only delegations without named rights
count here: those are the ones that mean "acts as I would". A chain without the registry delegates nothing.
Source: delegate.xyz, IDelegateRegistry.
"""

from collections.abc import Mapping
from typing import Final

from eth_abi import abi
from web3 import Web3

from nft.detectors.base import Budget
from nft.detectors.multicall import Question, Reply, address_of_word, aggregate, failures_as_one, word_of_address
from nft.detectors.rpc import OWNER_OF
from nft.domain.tokens import Collection
from outbound.json_rpc import RpcClient

REGISTRY: Final = "0x00000000000000447e69651d841bD8D104Bed493"
TOKEN_URI: Final = Web3.keccak(text="tokenURI(uint256)")[:4]
CHECK_DELEGATE: Final = Web3.keccak(text="checkDelegateForERC721(address,address,address,uint256,bytes32)")[:4]
INCOMING: Final = Web3.keccak(text="getIncomingDelegations(address)")[:4]
DELEGATION: Final = "(uint8,address,address,bytes32,address,uint256,uint256)"
ALL, CONTRACT, ERC721 = 1, 2, 3  # the kinds of delegation that reach a token of ERC-721
VAULTS_MAX: Final = 10  # of one wallet: who delegates is not asked, so anybody may add vaults to anybody's list
NO_RIGHTS: Final = bytes(32)


class TokenReads:
    """Asks the nodes of each chain; `multicalls` maps a chain to its Multicall3."""

    def __init__(self, nodes: Mapping[str, RpcClient], multicalls: Mapping[str, str]) -> None:
        self._nodes = dict(nodes)
        self._multicalls = dict(multicalls)

    def covers(self, chain: str) -> bool:
        """Whether we have a node of this chain."""
        return chain in self._nodes

    def owner_of(self, collection: Collection, token_id: int, budget: Budget) -> str:
        """The wallet that owns a token of ERC-721 now; empty when there is no such token. Raises DetectorFailed."""
        [(succeeded, word)] = self._ask(collection.chain, [(collection.address, OWNER_OF + _word(token_id))], budget)
        return address_of_word(word) if succeeded else ""

    def token_uri(self, collection: Collection, token_id: int, budget: Budget) -> str:
        """Where the contract says a token is described; empty when it says nothing. Raises DetectorFailed."""
        question = (collection.address, TOKEN_URI + _word(token_id))
        [(succeeded, returned)] = self._ask(collection.chain, [question], budget)
        if not succeeded or not returned:
            return ""
        with failures_as_one():
            [raw] = abi.decode(["bytes"], returned)  # a string that need not be UTF-8
        return bytes(raw).decode("utf-8", "replace")

    def is_delegate(self, wallet: str, owner: str, collection: Collection, token_id: int, budget: Budget) -> bool:
        """Whether the owner has let this wallet act for the token. Raises DetectorFailed."""
        words = [word_of_address(one) for one in (wallet, owner, collection.address)]
        data = CHECK_DELEGATE + b"".join(words) + _word(token_id) + NO_RIGHTS
        [(succeeded, word)] = self._ask(collection.chain, [(REGISTRY, data)], budget)
        return succeeded and word == _word(1)

    def vaults_of(self, wallet: str, chain: str, budget: Budget) -> list[str]:
        """The wallets that let this one act for tokens of theirs, the first ten of them. Raises DetectorFailed."""
        [(succeeded, returned)] = self._ask(chain, [(REGISTRY, INCOMING + word_of_address(wallet))], budget)
        if not succeeded or not returned:
            return []
        with failures_as_one():
            [delegations] = abi.decode([f"{DELEGATION}[]"], returned)
        kinds = (ALL, CONTRACT, ERC721)
        vaults = [str(one[2]).lower() for one in delegations if one[0] in kinds and one[3] == NO_RIGHTS]
        return list(dict.fromkeys(vaults))[:VAULTS_MAX]

    def _ask(self, chain: str, questions: list[Question], budget: Budget) -> list[Reply]:
        with failures_as_one():
            return aggregate(self._nodes[chain], self._multicalls[chain], questions, budget)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
