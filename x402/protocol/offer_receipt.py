"""Offers and receipts that anyone can verify: the extension `offer-receipt`, format `eip712`.

The domain has no contract and chain 1, whatever network the payment is on, because the statement is ours and not a
contract's. Strings are hashed as they are. The signer is found by recovery; who it may be is published elsewhere.
Source: x402 extension offer-receipt.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from x402.protocol.keccak import keccak256
from x402.protocol.strict_json import JsonObject, JsonValue

EXTENSION: Final = "offer-receipt"
FORMAT: Final = "eip712"
VERSION: Final = 1

_DOMAIN_TYPE: Final = keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
_OFFER_FIELDS: Final = (
    ("uint256", "version"),
    ("string", "resourceUrl"),
    ("string", "scheme"),
    ("string", "network"),
    ("string", "asset"),
    ("string", "payTo"),
    ("string", "amount"),
    ("uint256", "validUntil"),
)
_RECEIPT_FIELDS: Final = (
    ("uint256", "version"),
    ("string", "network"),
    ("string", "resourceUrl"),
    ("string", "payer"),
    ("uint256", "issuedAt"),
    ("string", "transaction"),
)


def _type_hash(name: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    return keccak256(f"{name}({','.join(' '.join(field) for field in fields)})".encode())


def _domain(name: str) -> bytes:
    return keccak256(_DOMAIN_TYPE + keccak256(name.encode()) + keccak256(b"1") + (1).to_bytes(32, "big"))


_OFFER: Final = (_domain("x402 offer"), _type_hash("Offer", _OFFER_FIELDS), _OFFER_FIELDS)
_RECEIPT: Final = (_domain("x402 receipt"), _type_hash("Receipt", _RECEIPT_FIELDS), _RECEIPT_FIELDS)


def offer_digest(payload: Mapping[str, JsonValue]) -> bytes:
    """What is signed for an offer. Raises KeyError for a missing field."""
    return _digest(payload, *_OFFER)


def receipt_digest(payload: Mapping[str, JsonValue]) -> bytes:
    """What is signed for a receipt. Raises KeyError for a missing field."""
    return _digest(payload, *_RECEIPT)


def signed(payload: JsonObject, signature: bytes, **facts: JsonValue) -> JsonObject:
    """A statement as the extension writes it."""
    return {"format": FORMAT, **facts, "payload": payload, "signature": "0x" + signature.hex()}


def _digest(
    payload: Mapping[str, JsonValue], domain: bytes, type_hash: bytes, fields: tuple[tuple[str, str], ...]
) -> bytes:
    words = [
        int(str(payload[name])).to_bytes(32, "big") if kind == "uint256" else _hashed(str(payload[name]))
        for kind, name in fields
    ]
    return keccak256(b"\x19\x01" + domain + keccak256(type_hash + b"".join(words)))


@lru_cache(maxsize=1_024)
def _hashed(text: str) -> bytes:
    """Schemes, networks, assets, addresses and most resources are the same in every statement."""
    return keccak256(text.encode())
