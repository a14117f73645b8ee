"""What a sign-in message must say for this site. Apart from the messages, because each 402 needs only this."""

from dataclasses import dataclass
from typing import Final

from accounts.services import nonces
from telemetry.configuration import loa

MESSAGE_LENGTH_MAX: Final = 1500
SIGNATURE_LENGTH_MAX: Final = 8192  # an EIP-6492 signature carries the wallet's deployment
REFUSED: Final = "The message or its signature does not hold for this site, chain, moment and nonce."


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the message must say, to the letter."""

    domain: str
    uri: str
    purpose: str


def site_expectation() -> Expectation:
    """A sign-in to the site as a whole."""
    origin = loa("PUBLIC_ORIGIN")
    return Expectation(
        domain=loa("SIWE_DOMAIN") or origin.partition("://")[2],
        uri=loa("SIWE_URI") or origin,
        purpose=nonces.FOR_SIGN_IN,
    )
