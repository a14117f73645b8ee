"""Payment headers: base64 of JSON, one per request, read by one parser with a size limit before anything is decoded.

Version 2 pays in `PAYMENT-SIGNATURE`, version 1 in `X-PAYMENT`. The reference system put raw JSON into `X-Payment`; a
value that starts with a brace is read as that. Both headers at once, a header twice, or a version that does not belong
to its header could be read differently by a proxy and by us, so they are refused (attack 12).
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from x402.protocol import strict_json
from x402.protocol.errors import (
    AMBIGUOUS_PAYMENT,
    INVALID_PAYMENT_HEADER,
    PAYMENT_HEADER_TOO_LARGE,
    MalformedPayment,
    PaymentRefused,
)
from x402.protocol.strict_json import InvalidJson, JsonObject, JsonValue

PAYMENT_REQUIRED: Final = "PAYMENT-REQUIRED"
PAYMENT_SIGNATURE: Final = "PAYMENT-SIGNATURE"
PAYMENT_RESPONSE: Final = "PAYMENT-RESPONSE"
X_PAYMENT: Final = "X-PAYMENT"
X_PAYMENT_RESPONSE: Final = "X-PAYMENT-RESPONSE"
SIGN_IN_WITH_X: Final = "SIGN-IN-WITH-X"

EXPOSED_HEADERS: Final = (PAYMENT_REQUIRED, PAYMENT_RESPONSE, X_PAYMENT_RESPONSE)
# Official clients also send Access-Control-Expose-Headers as a request header.
ALLOWED_REQUEST_HEADERS: Final = (PAYMENT_SIGNATURE, X_PAYMENT, SIGN_IN_WITH_X, "Access-Control-Expose-Headers")

MAX_HEADER_BYTES: Final = 16_384  # an EOA payment with a quote is 1.5 kB, a wrapped contract signature 6 kB
_MAX_PADDING: Final = 2
_URL_ALPHABET: Final = str.maketrans("-_", "+/")

Form = Literal["v2", "v1", "reference"]


@dataclass(frozen=True, slots=True)
class PaymentHeader:
    """A decoded payment header. `form` says which of the three wire forms it had; `document` is its JSON object."""

    form: Form
    document: JsonObject

    @property
    def version(self) -> int:
        return 2 if self.form == "v2" else 1


def payment_values(pairs: Iterable[tuple[str, str]]) -> tuple[str | None, str | None]:
    """The values of PAYMENT-SIGNATURE and X-PAYMENT among header pairs, in this order.

    Raises MalformedPayment(ambiguous_payment) when one of them is there twice.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        canonical = name.upper()
        if canonical in (PAYMENT_SIGNATURE, X_PAYMENT):
            if canonical in found:
                raise MalformedPayment(AMBIGUOUS_PAYMENT, f"{canonical} was sent twice")
            found[canonical] = value
    return found.get(PAYMENT_SIGNATURE), found.get(X_PAYMENT)


def read_payment(
    *, payment_signature: str | None, x_payment: str | None, max_bytes: int = MAX_HEADER_BYTES
) -> PaymentHeader | None:
    """The payment a request carries, or None when it carries none. An empty header is a broken payment, not none.

    Raises MalformedPayment for what cannot be decoded, and PaymentRefused(invalid_x402_version) when the payload's
    version does not belong to its header. Source: x402 HTTP transport, versions 1 and 2.
    """
    if payment_signature is not None:
        if x_payment is not None:
            raise MalformedPayment(AMBIGUOUS_PAYMENT, f"send either {PAYMENT_SIGNATURE} or {X_PAYMENT}, not both")
        document = decode_object(payment_signature, name=PAYMENT_SIGNATURE, max_bytes=max_bytes)
        _require_version(document, expected=2, name=PAYMENT_SIGNATURE)
        return PaymentHeader("v2", document)
    if x_payment is None:
        return None
    if x_payment.lstrip(" \t").startswith("{"):
        document = _parse(
            _raw_bytes(x_payment, name=X_PAYMENT, max_bytes=max_bytes), name=X_PAYMENT, max_bytes=max_bytes
        )
        if "x402Version" not in document:
            return PaymentHeader("reference", document)
    else:
        document = decode_object(x_payment, name=X_PAYMENT, max_bytes=max_bytes)
    _require_version(document, expected=1, name=X_PAYMENT)
    return PaymentHeader("v1", document)


def decode_object(value: str, *, name: str, max_bytes: int = MAX_HEADER_BYTES) -> JsonObject:
    """The JSON object in a base64 header: standard or URL alphabet, with or without padding.

    Raises MalformedPayment naming the header; the size is checked before anything is decoded.
    """
    _require_size(value, name=name, max_bytes=max_bytes)
    text = value.strip(" \t")
    if "-" in text or "_" in text:
        text = text.translate(_URL_ALPHABET)
    bare = text.rstrip("=")
    if "," in bare:  # servers fold repeated headers into one, with commas
        raise MalformedPayment(AMBIGUOUS_PAYMENT, f"{name} was sent twice")
    try:
        if len(text) - len(bare) > _MAX_PADDING:
            raise Base64Error
        decoded = a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:  # also what it raises for characters beyond ASCII
        raise MalformedPayment(INVALID_PAYMENT_HEADER, f"{name} is not base64") from None
    return _parse(decoded, name=name, max_bytes=max_bytes)


def encode_object(document: JsonObject) -> str:
    """Base64, standard alphabet, padded, of compact JSON without nulls: what official clients decode."""
    return b2a_base64(strict_json.compact_bytes(document), newline=False).decode("ascii")


def _require_size(value: str, *, name: str, max_bytes: int) -> None:
    if len(value) > max_bytes:
        raise MalformedPayment(PAYMENT_HEADER_TOO_LARGE, f"{name} is longer than {max_bytes} bytes")


def _raw_bytes(value: str, *, name: str, max_bytes: int) -> bytes:
    _require_size(value, name=name, max_bytes=max_bytes)
    try:
        return value.encode("latin-1")  # how WSGI hands header bytes over
    except UnicodeEncodeError:
        raise MalformedPayment(INVALID_PAYMENT_HEADER, f"{name} holds characters no header can carry") from None


def _parse(decoded: bytes, *, name: str, max_bytes: int) -> JsonObject:
    try:
        return strict_json.parse_object(decoded, max_bytes=max_bytes)
    except InvalidJson as error:
        raise MalformedPayment(INVALID_PAYMENT_HEADER, f"{name}: {error}") from None


def _require_version(document: JsonObject, *, expected: int, name: str) -> None:
    version: JsonValue = document.get("x402Version")
    if isinstance(version, bool) or version != expected:
        raise PaymentRefused("invalid_x402_version", f"{name} carries x402Version {expected}")
