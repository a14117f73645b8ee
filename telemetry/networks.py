"""The networks Loa knows by itself; others are named whole in `LOA["NETWORKS"]` (same shape).

Addresses of USDC and its EIP-712 domain as Circle publishes them; Multicall3 and Permit2 sit at the same address on
every chain. The EIP-712 name differs between Base ("USD Coin") and Base Sepolia ("USDC"): a signature over the wrong
one is worthless.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

MULTICALL3: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"
PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"

BASE_SEPOLIA: Final = "eip155:84532"
BASE: Final = "eip155:8453"

KNOWN: Final[Mapping[str, Mapping[str, Any]]] = {
    BASE_SEPOLIA: {
        "v1_name": "base-sepolia",
        "block_seconds": 2,
        "assets": {
            "usdc": {
                "address": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
                "name": "USDC",
                "version": "2",
                "decimals": 6,
            }
        },
    },
    BASE: {
        "v1_name": "base",
        "block_seconds": 2,
        "assets": {
            "usdc": {
                "address": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
                "name": "USD Coin",
                "version": "2",
                "decimals": 6,
            }
        },
    },
}


def completed(caip2: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one network: what was written, and for the rest what is known of it."""
    return {"multicall3": MULTICALL3, "permit2": PERMIT2, "confirmations": 1, **KNOWN.get(caip2, {}), **facts}


def network(caip2: str, *, rpc_urls: Sequence[str], pay_to: str, confirmations: int = 1) -> dict[str, Any]:
    """One known network, completed with how this site reaches it and where it wants its money."""
    return completed(caip2, {"rpc_urls": rpc_urls, "pay_to": pay_to, "confirmations": confirmations})
