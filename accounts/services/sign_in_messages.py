"""What a wallet must have signed to be believed: an EIP-4361 message for exactly this site, chain, moment and nonce.

The library parses and verifies; what it leaves open is closed here. Lengths are bounded first, because its grammar
takes seconds on long nonsense. A message that does not print back to the very same text has a second reading (line
ends, an odd space) and is refused. The signature may be a key's or a contract wallet's.

The library brings web3 with it, a second of imports: whoever needs this module only to sign in imports it only then.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from siwe import SiweMessage, VerificationError

from accounts.services import nonces
from accounts.services.contract_wallets import provider_for
from accounts.services.errors import SignInRefused
from accounts.services.sign_in_expectations import MESSAGE_LENGTH_MAX, REFUSED, SIGNATURE_LENGTH_MAX, Expectation
from outbound.errors import OutboundError
from telemetry.configuration import loa

FIELD_LENGTH_MAX: Final = 512
CLOCK_SKEW: Final = timedelta(minutes=1)


def message_of_text(text: str) -> SiweMessage:
    """A message as a wallet shows it. Raises SignInRefused."""
    if len(text) > MESSAGE_LENGTH_MAX or not text.isascii():
        raise SignInRefused("The message is too long or holds characters beyond ASCII.")
    try:
        message = SiweMessage.from_message(text, abnf=False)
    except ValueError as error:
        raise SignInRefused("The message is not an EIP-4361 message.") from error
    if message.prepare_message() != text:
        raise SignInRefused("The message is not in the exact form of EIP-4361.")
    return message


def message_of_fields(fields: Mapping[str, object]) -> SiweMessage:
    """A message from its named parts. Raises SignInRefused."""
    texts = [value for value in fields.values() if isinstance(value, str)]
    if any(len(text) > FIELD_LENGTH_MAX or not text.isascii() or not text.isprintable() for text in texts):
        raise SignInRefused("A part of the message is too long or not one printable line.")
    try:
        message = SiweMessage.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValueError as error:
        raise SignInRefused("The parts are not those of an EIP-4361 message.") from error
    if len(message.prepare_message()) > MESSAGE_LENGTH_MAX:
        raise SignInRefused("The message is too long.")
    return message


def require_valid(message: SiweMessage, signature: str, expected: Expectation) -> None:
    """Refuse a message that was not meant for us, not now, or not signed by its wallet. Does not use up the nonce.

    Raises SignInRefused, with one wording for every reason, so that nobody learns which check was the last.
    """
    now = timezone.now()
    if len(signature) > SIGNATURE_LENGTH_MAX or not nonces.is_ours(message.nonce, expected.purpose):
        raise SignInRefused(REFUSED)
    signed_at = datetime.fromisoformat(message.issued_at)
    if not nonces.issued_at(message.nonce) - CLOCK_SKEW <= signed_at <= now + CLOCK_SKEW:
        raise SignInRefused(REFUSED)
    if f"eip155:{message.chain_id}" not in loa("NETWORKS"):
        raise SignInRefused(REFUSED)
    if message.scheme is not None and not expected.uri.startswith(f"{message.scheme}://"):
        raise SignInRefused(REFUSED)
    try:
        message.verify(
            signature,
            domain=expected.domain,
            uri=expected.uri,
            chain_id=message.chain_id,
            nonce=message.nonce,
            timestamp=now,
            provider=provider_for(message.chain_id),
            strict=True,
        )
    except (VerificationError, OutboundError, ValueError) as error:
        raise SignInRefused(REFUSED) from error
