"""Wallets of the local chain: keys anyone can compute from this file, funded on the local chain and nowhere else.

They are derived from a sentence, so that every start gives the same addresses. Because they are public, as are the
accounts of the mnemonic every development chain starts with, a deployment refuses them (check loa.E002).
"""

import hashlib
from dataclasses import dataclass

from coincurve import PrivateKey
from Crypto.Hash import keccak

PAYERS = 10
_SENTENCE = "loa local stack, worthless outside of it"

# The first ten accounts of "test test test test test test test test test test test junk".
DEVELOPMENT_ADDRESSES = frozenset(
    {
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
        "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
        "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        "0x976ea74026e726554db657fa54763abd0c3a0aa9",
        "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
        "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
        "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
    }
)


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


def refund_float() -> Wallet:
    """The wallet that refunds are paid from: has USDC and no gas."""
    return wallet("refund float")


def pay_to() -> Wallet:
    """The wallet that receives payments."""
    return wallet("pay to")


def master_minter() -> Wallet:
    """The wallet that may mint the local USDC, pause it and blacklist accounts."""
    return wallet("master minter")


def is_public_address(address: str) -> bool:
    """Whether anyone can compute the private key of this address: ours, or a development chain's."""
    ours = {known.address.lower() for known in (*payers(), relayer(), refund_float(), pay_to(), master_minter())}
    return address.lower() in ours | DEVELOPMENT_ADDRESSES


def is_public_key(private_key: str) -> bool:
    """The same for a private key in hex; what is no key is not public either, other checks refuse it."""
    digits = private_key.removeprefix("0x")
    try:
        return len(digits) == 64 and is_public_address(address_of(bytes.fromhex(digits)))
    except ValueError:
        return False


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
