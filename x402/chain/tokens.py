"""Calls to and events of a token with EIP-3009, USDC above all."""

from typing import Final

from x402.chain import abi
from x402.protocol.payload import Authorization

_WINDOW: Final = "address,address,uint256,uint256,uint256,bytes32"
TRANSFER_BY_PARTS: Final = abi.selector(f"transferWithAuthorization({_WINDOW},uint8,bytes32,bytes32)")
TRANSFER_BY_BYTES: Final = abi.selector(f"transferWithAuthorization({_WINDOW},bytes)")
BALANCE_OF: Final = abi.selector("balanceOf(address)")
AUTHORIZATION_STATE: Final = abi.selector("authorizationState(address,bytes32)")

TRANSFER_TOPIC: Final = abi.topic("Transfer(address,address,uint256)")
AUTHORIZATION_USED_TOPIC: Final = abi.topic("AuthorizationUsed(address,bytes32)")
AUTHORIZATION_CANCELED_TOPIC: Final = abi.topic("AuthorizationCanceled(address,bytes32)")


def transfer_with_authorization(authorization: Authorization) -> bytes:
    """Calldata that carries out the signed transfer; a 65-byte signature goes in its cheaper v, r, s form.

    Source: EIP-3009; FiatTokenV2_2 for the form with bytes.
    """
    fields = b"".join(
        (
            abi.word(authorization.from_),
            abi.word(authorization.to),
            abi.word(authorization.value),
            abi.word(authorization.valid_after),
            abi.word(authorization.valid_before),
            authorization.nonce,
        )
    )
    signature = authorization.signature
    if len(signature) == 65:
        return TRANSFER_BY_PARTS + fields + abi.word(signature[64]) + signature[:64]
    pointer = abi.word(7 * abi.WORD_BYTES)
    return TRANSFER_BY_BYTES + fields + pointer + abi.dynamic_bytes(signature)


def balance_of(holder: bytes) -> bytes:
    """Calldata that asks for a holder's balance in the token's atomic unit."""
    return BALANCE_OF + abi.word(holder)


def authorization_state(payer: bytes, nonce: bytes) -> bytes:
    """Calldata that asks whether a nonce was used or cancelled."""
    return AUTHORIZATION_STATE + abi.word(payer) + nonce
