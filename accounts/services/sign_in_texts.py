"""The text of an EIP-4361 message for a wallet to sign, with a nonce of ours in it. Asking for one writes nothing."""

from Crypto.Hash import keccak

from accounts.addresses import canonical_wallet
from accounts.services import nonces
from accounts.services.sign_in_expectations import Expectation
from telemetry.configuration import loa


def sign_in_text(wallet: str, *, expected: Expectation, statement: str) -> str:
    """The message that `require_valid` accepts for this wallet once signed. Raises ValueError for what is no address.

    `statement` is one line of printable ASCII.
    """
    nonce = nonces.issue(expected.purpose)
    issued = nonces.issued_at(nonce).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "\n".join(
        (
            f"{expected.domain} wants you to sign in with your Ethereum account:",
            _checksummed(canonical_wallet(wallet)),
            "",
            statement,
            "",
            f"URI: {expected.uri}",
            "Version: 1",
            f"Chain ID: {loa('DEFAULT_NETWORK').partition(':')[2]}",
            f"Nonce: {nonce}",
            f"Issued At: {issued}",
        )
    )


def _checksummed(wallet: str) -> str:
    """The letter-case checksum of an address. Source: EIP-55.

    >>> _checksummed("0x036cbd53842c5426634e7929541ec2318f3dcf7e")
    '0x036CbD53842c5426634e7929541eC2318f3dCF7e'
    """
    digits = wallet.removeprefix("0x")
    digest = keccak.new(digest_bits=256, data=digits.encode()).hexdigest()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, digest, strict=False)
    )
