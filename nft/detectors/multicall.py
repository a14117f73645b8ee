"""Many questions to contracts of one chain in one call, each with its own answer: Multicall3's `aggregate3`.

A question that reverts is answered by "failed", which says something about the contract; a node that cannot be asked is
a failure of all of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from eth_abi import abi
from eth_abi.exceptions import DecodingError
from web3 import Web3

from nft.detectors.base import Budget
from nft.domain.errors import DetectorFailed
from outbound.json_rpc import RpcClient, RpcFailure, bytes_of

AGGREGATE3: Final = Web3.keccak(text="aggregate3((address,bool,bytes)[])")[:4]
WORD_BYTES: Final = 32

Question = tuple[str, bytes]  # a contract and the data of a call
Reply = tuple[bool, bytes]  # whether it succeeded, and what it returned


def aggregate(node: RpcClient, multicall: str, questions: Sequence[Question], budget: Budget) -> list[Reply]:
    """The answers in the order of the questions, all of one block. Run it inside `failures_as_one`."""
    data = AGGREGATE3 + abi.encode(["(address,bool,bytes)[]"], [[(one, True, asked) for one, asked in questions]])
    document = {"to": multicall, "data": "0x" + data.hex()}
    answer = node.call("eth_call", [document, "latest"], timeout_seconds=budget.left_seconds())
    [replies] = abi.decode(["(bool,bytes)[]"], bytes_of(answer))
    if len(replies) != len(questions):
        raise ValueError("a node answered other questions")
    return [(bool(succeeded), bytes(returned)) for succeeded, returned in replies]


def word_of_address(address: str) -> bytes:
    """An address as an argument of a call."""
    return bytes.fromhex(address.removeprefix("0x")).rjust(WORD_BYTES, b"\0")


def address_of_word(word: bytes) -> str:
    """The address in an answer, in lower case; empty for the zero address and for what is no word."""
    return "0x" + word[-20:].hex() if len(word) == WORD_BYTES and any(word[-20:]) else ""


@contextmanager
def failures_as_one() -> Iterator[None]:
    """Whatever a node refuses, leaves out or garbles is DetectorFailed."""
    try:
        yield
    except RpcFailure as error:
        raise DetectorFailed(type(error).__name__) from error
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, DecodingError) as error:
        raise DetectorFailed("a node's answer cannot be read") from error
