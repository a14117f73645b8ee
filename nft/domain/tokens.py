"""Collections and tokens, each in one spelling from the edge on.

A collection is a chain (CAIP-2) and a contract address in lower case. A token id is a number of 256 bits, written in
decimal digits without leading zeros: as text everywhere, because 78 digits fit neither a bigint nor a JSON number.
Two spellings of one token would be two agents (reference-platform.md, defect 24 and the note on collections).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TOKEN_ID_DIGITS_MAX: Final = 78
TOKEN_ID_END: Final = 2**256
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_CHAIN: Final = re.compile(r"eip155:[1-9][0-9]{0,17}")
_DECIMAL: Final = re.compile(r"[0-9]{1,78}")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


class Standard(StrEnum):
    """How a contract says who owns what."""

    ERC721 = "erc721"
    ERC1155 = "erc1155"


@dataclass(frozen=True, slots=True, order=True)
class Collection:
    """A contract we know. `from_block` is where its history begins, for the fallback that reads its logs."""

    chain: str
    address: str
    name: str = ""
    standard: Standard = Standard.ERC721
    from_block: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What makes it this collection and no other."""
        return self.chain, self.address


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """A token a wallet owns, as a detector saw it. `balance` is more than one only for ERC-1155.

    `vault` names the owner where that is another wallet, which lets this one act for it.
    """

    chain: str
    collection: str
    token_id: str
    name: str
    balance: int = 1
    image_url: str = ""
    vault: str = ""


def canonical_chain(text: str) -> str:
    """A chain by its CAIP-2 name. Raises ValueError for anything else."""
    if _CHAIN.fullmatch(text) is None:
        raise ValueError("A chain is named eip155: and its number.")
    return text


def canonical_collection(address: str) -> str:
    """A contract's address in lower case. Raises ValueError for anything else.

    >>> canonical_collection("0x6666397DFe9a8c469BF65dc744CB1C733416c420")
    '0x6666397dfe9a8c469bf65dc744cb1c733416c420'
    """
    if _ADDRESS.fullmatch(address) is None:
        raise ValueError("A collection is named by its contract: 0x and 40 hex digits.")
    return address.lower()


def canonical_token_id(text: str) -> str:
    """A token id in decimal digits without leading zeros; hexadecimal is read. Raises ValueError for anything else.

    >>> canonical_token_id("007"), canonical_token_id("0x1F")
    ('7', '31')
    """
    if _DECIMAL.fullmatch(text):
        number = int(text)
    elif _HEX.fullmatch(text):
        number = int(text, 16)
    else:
        raise ValueError("A token id is a whole number of up to 78 digits.")
    if number >= TOKEN_ID_END:
        raise ValueError("A token id has at most 256 bits.")
    return str(number)
