"""The contracts of the local chain: our own, compiled from `src`, and those of others, vendored with their proof.

`load` reads the committed JSON; nothing is compiled or downloaded. `node contracts/build.mjs` compiles anew.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
OWN = (
    *("LocalAgents", "LocalDelegateRegistry", "LocalPasses"),
    *("LocalUSDC", "LocalSmartWallet", "LocalSmartWalletFactory"),
)
VENDORED = ("Multicall3", "Permit2", "x402ExactPermit2Proxy", "x402UptoPermit2Proxy")

# Where the local chain puts the token: Base Sepolia's USDC, so that the official clients' `$` prices find it.
USDC_ADDRESS = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
LOCAL_AGENTS_ADDRESS = "0x0000000000000000000000000000000000a6e475"
LOCAL_PASSES_ADDRESS = "0x00000000000000000000000000000000000ba55e"
LOCAL_DELEGATES_ADDRESS = "0x00000000000000447e69651d841bD8D104Bed493"  # where every chain has delegate.xyz's
SMART_WALLET_FACTORY_ADDRESS = "0x00000000000000000000000000000000000f4c70"


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract: its interface, its code, and for our own the storage slots by variable name."""

    name: str
    abi: list[dict[str, Any]]
    runtime: str
    creation: str | None
    address: str | None
    storage_slots: dict[str, int]
    record: dict[str, Any]


@cache
def load(name: str) -> Contract:
    """The contract of that name; raises KeyError for a name that is neither ours nor vendored."""
    if name not in OWN + VENDORED:
        raise KeyError(name)
    folder = FOLDER / ("build" if name in OWN else "vendored")
    record: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return Contract(
        name=name,
        abi=record["abi"],
        runtime=record["runtime"],
        creation=record.get("creation"),
        address=record.get("address"),
        storage_slots=record.get("storage_slots", {}),
        record=record,
    )


def source_sha256() -> str:
    """The hash of all our sources, as the build writes it into its output."""
    digest = hashlib.sha256()
    for path in sorted((FOLDER / "src").glob("*.sol")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
