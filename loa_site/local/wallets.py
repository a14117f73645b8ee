"""Wallets of the local chain: keys anyone can compute from this file, funded on the local chain and nowhere else.

They are derived from a sentence, so that every start gives the same addresses.
"""

import hashlib
from dataclasses import dataclass

from coincurve import PrivateKey
from Crypto.Hash import keccak

PAYERS = 10
_SENTENCE = "loa local stack, worthless outside of it"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A key pair with its checksummed address."""

    private_key: str
    address: str


def wallet(name: str) -> Wallet:
    """The wallet of that name; the same at every call and on every machine."""
    secret = hashlib.sha256(f"{_SENTENCE}: {name}".encode()).digest()
    return Wallet(private_key="0x" + secret.hex(), address=address_of(secret))


def payers() -> list[Wallet]:
    """Wallets with test USDC that may pay for calls."""
    return [wallet(f"payer {number}") for number in range(1, PAYERS + 1)]


def relayer() -> Wallet:
    """The wallet that settles: has gas and nothing else."""
    return wallet("relayer")


def pay_to() -> Wallet:
    """The wallet that receives payments."""
    return wallet("pay to")


def master_minter() -> Wallet:
    """The wallet that may mint the local USDC, pause it and blacklist accounts."""
    return wallet("master minter")


def address_of(secret: bytes) -> str:
    """The checksummed address of a private key."""
    public = PrivateKey(secret).public_key.format(compressed=False)[1:]
    return checksummed(keccak256(public)[-20:])


def checksummed(address: bytes) -> str:
    """An address in the mixed case of EIP-55."""
    plain = address.hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(char.upper() if int(digest[i], 16) >= 8 else char for i, char in enumerate(plain))


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash."""
    return keccak.new(digest_bits=256, data=data).digest()
