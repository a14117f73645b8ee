"""Calls to Permit2 and to the two x402 proxies that may execute its witness transfers.

Permit2 keeps a bitmap of nonces per owner and says nothing when one is used, so what shows a payment is the token's
Transfer with the proxy's own event behind it, and the bit (rule R3).
"""

from typing import Final

from x402.chain import abi
from x402.protocol.payload import Permit2Authorization
from x402.protocol.schemes.exact_permit2 import EXACT_PROXY, PERMIT2
from x402.protocol.schemes.upto import UPTO_PROXY

_PERMIT: Final = "((address,uint256),uint256,uint256)"
SETTLE_EXACT: Final = abi.selector(f"settle({_PERMIT},address,(address,uint256),bytes)")
SETTLE_UPTO: Final = abi.selector(f"settle({_PERMIT},uint256,address,(address,address,uint256),bytes)")
NONCE_BITMAP: Final = abi.selector("nonceBitmap(address,uint256)")
ALLOWANCE: Final = abi.selector("allowance(address,address)")

SETTLED_TOPICS: Final = frozenset({abi.topic("Settled()"), abi.topic("SettledWithPermit()")})
NONCES_INVALIDATED_TOPIC: Final = abi.topic("UnorderedNonceInvalidation(address,uint256,uint256)")

_WORDS_EXACT: Final = 8  # permit 4, owner 1, witness 2, pointer 1
_WORDS_UPTO: Final = 10  # permit 4, amount 1, owner 1, witness 3, pointer 1


def proxy_of(permit: Permit2Authorization) -> bytes:
    """The contract that executes this permit: an `upto` permit names its facilitator, an exact one does not."""
    return EXACT_PROXY if permit.facilitator is None else UPTO_PROXY


def settle_exact(permit: Permit2Authorization) -> bytes:
    """Calldata for the exact proxy; whoever sends it, the signed recipient gets the signed amount."""
    fields = _permit(permit) + abi.word(permit.from_) + abi.word(permit.to) + abi.word(permit.valid_after)
    return SETTLE_EXACT + fields + abi.word(_WORDS_EXACT * abi.WORD_BYTES) + abi.dynamic_bytes(permit.signature)


def settle_upto(permit: Permit2Authorization, *, amount: int) -> bytes:
    """Calldata for the upto proxy, which takes it from the signed facilitator alone (rule R2).

    Units: the token's atomic unit. Raises ValueError for more than was signed, and for a permit without facilitator.
    """
    if permit.facilitator is None or not 0 < amount <= permit.amount:
        raise ValueError("an upto settlement needs a facilitator and an amount within the signed maximum")
    fields = b"".join(
        (
            _permit(permit),
            abi.word(amount),
            abi.word(permit.from_),
            abi.word(permit.to),
            abi.word(permit.facilitator),
            abi.word(permit.valid_after),
        )
    )
    return SETTLE_UPTO + fields + abi.word(_WORDS_UPTO * abi.WORD_BYTES) + abi.dynamic_bytes(permit.signature)


def nonce_bitmap(owner: bytes, nonce: bytes) -> bytes:
    """Calldata that asks for the word of the bitmap in which this nonce is a bit."""
    return NONCE_BITMAP + abi.word(owner) + abi.word(int.from_bytes(nonce, "big") >> 8)


def is_nonce_set(bitmap: int, nonce: bytes) -> bool:
    """Whether this nonce's bit is set in its word."""
    return bitmap >> nonce[31] & 1 == 1


def allowance(owner: bytes) -> bytes:
    """Calldata that asks a token how much of the owner's balance Permit2 may move."""
    return ALLOWANCE + abi.word(owner) + abi.word(PERMIT2)


def _permit(permit: Permit2Authorization) -> bytes:
    return abi.word(permit.token) + abi.word(permit.amount) + permit.nonce_bytes + abi.word(permit.deadline)
