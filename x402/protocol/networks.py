"""One network, two spellings: version 1 calls it `base-sepolia`, version 2 `eip155:84532` (CAIP-2).

Everything behind the parser uses CAIP-2, so a payment spelled either way is one payment (rule R18).
"""

import re
from typing import Final

_CAIP2_EVM: Final = re.compile(r"eip155:[1-9][0-9]{0,18}", re.ASCII)

CHAIN_ID_BY_V1_NAME: Final = {
    "abstract": 2741,
    "abstract-testnet": 11124,
    "avalanche": 43114,
    "avalanche-fuji": 43113,
    "base": 8453,
    "base-sepolia": 84532,
    "celo": 42220,
    "educhain": 656476,
    "ethereum": 1,
    "flare": 14,
    "iotex": 4689,
    "megaeth": 4326,
    "monad": 143,
    "monad-testnet": 10143,
    "peaq": 3338,
    "polygon": 137,
    "polygon-amoy": 80002,
    "sei": 1329,
    "sei-testnet": 1328,
    "skale-base-sepolia": 1444673419,
    "stable": 988,
    "stable-testnet": 2201,
    "story": 1513,
}

# One name outside this closed list makes the published version 1 client reject the whole list of offers.
V1_NAMES_CLIENTS_ACCEPT: Final = frozenset(
    {
        "abstract",
        "abstract-testnet",
        "avalanche",
        "avalanche-fuji",
        "base",
        "base-sepolia",
        "educhain",
        "iotex",
        "peaq",
        "polygon",
        "polygon-amoy",
        "sei",
        "sei-testnet",
        "skale-base-sepolia",
        "story",
    }
)

_V1_NAME_BY_CAIP2: Final = {f"eip155:{chain_id}": name for name, chain_id in CHAIN_ID_BY_V1_NAME.items()}


def caip2_of(name: str) -> str | None:
    """The CAIP-2 name of an EVM network given in either spelling, or None when it is neither."""
    chain_id = CHAIN_ID_BY_V1_NAME.get(name)
    if chain_id is not None:
        return f"eip155:{chain_id}"
    return name if _CAIP2_EVM.fullmatch(name) else None


def chain_id_of(caip2: str) -> int:
    """The chain id inside an EVM CAIP-2 name. Raises ValueError for anything else."""
    if not _CAIP2_EVM.fullmatch(caip2):
        raise ValueError(f"not an EVM network in CAIP-2: {caip2!r}")
    return int(caip2[7:])


def v1_name_of(caip2: str) -> str | None:
    """The version 1 name of a network, or None when version 1 has none."""
    return _V1_NAME_BY_CAIP2.get(caip2)


def v1_name_to_emit(caip2: str) -> str | None:
    """The version 1 name to put into an offer, or None when published clients would choke on it."""
    name = _V1_NAME_BY_CAIP2.get(caip2)
    return name if name in V1_NAMES_CLIENTS_ACCEPT else None
