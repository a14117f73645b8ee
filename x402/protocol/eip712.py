"""Typed-data digests and signer recovery, written for the few types x402 signs.

A generic encoder costs five times as much per payment; these are fixed concatenations of 32-byte words with the domain
separator cached. A signature counts in one form only: 65 bytes, r and s in range, s in the lower half, v 27 or 28. The
high-s twin, the compact form and v 0 or 1 are refused, so one authorization has one signature (attack 11).
"""

from functools import lru_cache
from typing import Final

from coincurve import PublicKey

from x402.protocol.keccak import keccak256

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER: Final = SECP256K1_ORDER // 2

_DOMAIN_TYPE: Final = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_UNVERSIONED_DOMAIN_TYPE: Final = keccak256(b"EIP712Domain(string name,uint256 chainId,address verifyingContract)")
_TRANSFER_TYPE: Final = keccak256(
    b"TransferWithAuthorization(address from,address to,uint256 value,"
    b"uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
_TOKEN_PERMISSIONS: Final = b"TokenPermissions(address token,uint256 amount)"
_TOKEN_PERMISSIONS_TYPE: Final = keccak256(_TOKEN_PERMISSIONS)
_PERMIT: Final = (
    b"PermitWitnessTransferFrom(TokenPermissions permitted,address spender,"
    b"uint256 nonce,uint256 deadline,Witness witness)"
)
_EXACT_WITNESS: Final = b"Witness(address to,uint256 validAfter)"
_UPTO_WITNESS: Final = b"Witness(address to,address facilitator,uint256 validAfter)"
_EXACT_WITNESS_TYPE: Final = keccak256(_EXACT_WITNESS)
_UPTO_WITNESS_TYPE: Final = keccak256(_UPTO_WITNESS)
_EXACT_PERMIT_TYPE: Final = keccak256(_PERMIT + _TOKEN_PERMISSIONS + _EXACT_WITNESS)
_UPTO_PERMIT_TYPE: Final = keccak256(_PERMIT + _TOKEN_PERMISSIONS + _UPTO_WITNESS)

_ADDRESS_PADDING: Final = bytes(12)


class InvalidSignature(ValueError):
    """Raised when bytes are not a signature in canonical form, or recover to no key."""


@lru_cache(maxsize=256)
def domain_separator(name: str, *, version: str | None, chain_id: int, verifying_contract: bytes) -> bytes:
    """The EIP-712 domain separator; `version=None` leaves the field out of the domain, as Permit2 does."""
    if version is None:
        fields = _UNVERSIONED_DOMAIN_TYPE + keccak256(name.encode())
    else:
        fields = _DOMAIN_TYPE + keccak256(name.encode()) + keccak256(version.encode())
    return keccak256(fields + _word(chain_id) + _ADDRESS_PADDING + verifying_contract)


def transfer_digest(
    domain: bytes, *, from_: bytes, to: bytes, amounts_and_window: tuple[int, int, int], nonce: bytes
) -> bytes:
    """What an EIP-3009 payer signs; `amounts_and_window` is (value, validAfter, validBefore). Source: EIP-3009."""
    value, valid_after, valid_before = amounts_and_window
    struct = b"".join(
        (
            _TRANSFER_TYPE,
            _ADDRESS_PADDING,
            from_,
            _ADDRESS_PADDING,
            to,
            value.to_bytes(32, "big"),
            valid_after.to_bytes(32, "big"),
            valid_before.to_bytes(32, "big"),
            nonce,
        )
    )
    return keccak256(b"\x19\x01" + domain + keccak256(struct))


def permit2_digest(
    domain: bytes, *, permitted: tuple[bytes, int], spender: bytes, nonce_and_deadline: tuple[int, int], witness: bytes
) -> bytes:
    """What a Permit2 payer signs for the exact proxy; `witness` comes from `exact_witness`."""
    return _permit2_digest(
        _EXACT_PERMIT_TYPE, domain, permitted=permitted, terms=(spender, *nonce_and_deadline), witness=witness
    )


def permit2_upto_digest(
    domain: bytes, *, permitted: tuple[bytes, int], spender: bytes, nonce_and_deadline: tuple[int, int], witness: bytes
) -> bytes:
    """What a Permit2 payer signs for the upto proxy; `witness` comes from `upto_witness`."""
    return _permit2_digest(
        _UPTO_PERMIT_TYPE, domain, permitted=permitted, terms=(spender, *nonce_and_deadline), witness=witness
    )


def exact_witness(to: bytes, *, valid_after: int) -> bytes:
    """The hashed witness of an exact Permit2 payment."""
    return keccak256(_EXACT_WITNESS_TYPE + _ADDRESS_PADDING + to + _word(valid_after))


def upto_witness(to: bytes, *, facilitator: bytes, valid_after: int) -> bytes:
    """The hashed witness of an upto payment: it names the one key that may settle it (rule R2)."""
    return keccak256(_UPTO_WITNESS_TYPE + _ADDRESS_PADDING + to + _ADDRESS_PADDING + facilitator + _word(valid_after))


def personal_digest(message: bytes) -> bytes:
    """What `personal_sign` signs. Source: EIP-191, version 0x45."""
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)


def recover(digest: bytes, signature: bytes) -> bytes:
    """The address whose key made this signature. Raises InvalidSignature unless it is in canonical form."""
    if len(signature) != 65:
        raise InvalidSignature("a signature has 65 bytes")
    v = signature[64]
    if v not in (27, 28):
        raise InvalidSignature("v is 27 or 28")
    if not 0 < int.from_bytes(signature[:32], "big") < SECP256K1_ORDER:
        raise InvalidSignature("r is out of range")
    if not 0 < int.from_bytes(signature[32:64], "big") <= HALF_ORDER:
        raise InvalidSignature("s is out of the lower half")
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes((v - 27,)), digest, hasher=None)
    except ValueError:
        raise InvalidSignature("no key made this signature") from None
    return address_of_key(key)


def address_of_key(key: PublicKey) -> bytes:
    """The Ethereum address of a public key."""
    return keccak256(key.format(compressed=False)[1:])[12:]


def checksum_address(address: bytes) -> str:
    """The address as text with its letter-case checksum. Source: EIP-55."""
    plain = address.hex()
    digest = keccak256(plain.encode("ascii")).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter for letter, nibble in zip(plain, digest, strict=False)
    )


def _permit2_digest(
    permit_type: bytes, domain: bytes, *, permitted: tuple[bytes, int], terms: tuple[bytes, int, int], witness: bytes
) -> bytes:
    token, amount = permitted
    spender, nonce, deadline = terms
    permissions = keccak256(_TOKEN_PERMISSIONS_TYPE + _ADDRESS_PADDING + token + _word(amount))
    struct = permit_type + permissions + _ADDRESS_PADDING + spender + _word(nonce) + _word(deadline) + witness
    return keccak256(b"\x19\x01" + domain + keccak256(struct))


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
