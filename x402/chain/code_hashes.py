"""Are the contracts we call the ones we mean? A call to an address without code succeeds, so every start asks (R25).

Multicall3 is the same bytes on every chain. Permit2 keeps its chain id and its domain separator inside its code, so
those two words are blanked before it is hashed.
"""

from typing import Final

from outbound.json_rpc import RpcClient, bytes_of, number_of
from x402.chain import abi
from x402.protocol import eip712
from x402.protocol.keccak import keccak256

MULTICALL3_CODE_HASH: Final = bytes.fromhex("d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891")
PERMIT2_BLANKED_CODE_HASH: Final = bytes.fromhex("463331fa7a0d5f07488e42c37b461bb56a822145c161a821fbafe7d4e916b546")
_BLANK: Final = bytes(32)


class UnexpectedCode(Exception):
    """Raised when an address holds other code than the contract we know; `contract` and `address` say which."""

    def __init__(self, *, contract: str, address: str, found: str) -> None:
        super().__init__(f"{contract} at {address}: {found}")
        self.contract = contract
        self.address = address


def require_contracts(rpc: RpcClient, *, multicall3: str, permit2: str, assets: tuple[str, ...] = ()) -> int:
    """Check the contracts settlement rests on, in one round trip, and return the node's chain id.

    Assets only need to have code: tokens are upgradable proxies, and the allow-list is the owner's choice.
    Raises UnexpectedCode, RpcFailure.
    """
    addresses = (multicall3, permit2, *assets)
    answers = rpc.batch([("eth_chainId", []), *(("eth_getCode", [address, "latest"]) for address in addresses)])
    chain_id = number_of(answers[0])
    codes = dict(zip(addresses, map(bytes_of, answers[1:]), strict=True))
    for address, code in codes.items():
        if not code:
            raise UnexpectedCode(contract="a contract", address=address, found="there is no code")
    if keccak256(codes[multicall3]) != MULTICALL3_CODE_HASH:
        raise UnexpectedCode(contract="Multicall3", address=multicall3, found="other code than Multicall3's")
    if blanked_permit2_hash(codes[permit2], chain_id=chain_id, address=permit2) != PERMIT2_BLANKED_CODE_HASH:
        raise UnexpectedCode(contract="Permit2", address=permit2, found="other code than Permit2's")
    return chain_id


def blanked_permit2_hash(code: bytes, *, chain_id: int, address: str) -> bytes:
    """The hash of Permit2's code without the two words that differ from chain to chain."""
    separator = eip712.domain_separator(
        "Permit2", version=None, chain_id=chain_id, verifying_contract=abi.address_of(address)
    )
    return keccak256(code.replace(abi.word(chain_id), _BLANK).replace(separator, _BLANK))
