"""What a payer signed, parsed from any of the wire forms into one frozen value.

Versions 1 and 2 and the reference system's JSON spell the same EIP-3009 authorization differently. After `read_payload`
there is one `Authorization`, with addresses, nonce and signature as bytes and amounts as integers, so neither letter
case, nor `0x` variants, nor another alphabet's digits can make a second payment out of one (attacks 11 and 12).
Fields of the wrong shape are refused with the specification's `invalid_payload`; unknown fields are ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from x402.protocol import payment_identifier
from x402.protocol.errors import PaymentRefused
from x402.protocol.headers import PaymentHeader
from x402.protocol.networks import caip2_of
from x402.protocol.strict_json import JsonObject, JsonValue

UINT256_LIMIT: Final = 1 << 256
MAX_SIGNATURE_BYTES: Final = 8_192  # what a 16 KiB header can carry; longer ones never reach this parser

_AMOUNT: Final = re.compile(r"(?:0|[1-9][0-9]{0,77})", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_QUOTE_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,256}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Authorization:
    """An EIP-3009 transfer a payer signed. `value` in the asset's atomic unit, times in Unix seconds."""

    from_: bytes
    to: bytes
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.from_) != 20 or len(self.to) != 20 or len(self.nonce) != 32:
            raise ValueError("an authorization has two addresses of 20 bytes and a nonce of 32")
        if not all(0 <= number < UINT256_LIMIT for number in (self.value, self.valid_after, self.valid_before)):
            raise ValueError("an authorization's numbers are uint256")

    @property
    def nonce_bytes(self) -> bytes:
        """The nonce as it stands in a replay key (rule R18)."""
        return self.nonce


@dataclass(frozen=True, slots=True)
class Permit2Authorization:
    """A Permit2 witness transfer a payer signed; `facilitator` is there for `upto` alone."""

    from_: bytes
    token: bytes
    amount: int
    spender: bytes
    nonce: int
    deadline: int
    to: bytes
    valid_after: int
    facilitator: bytes | None
    signature: bytes

    @property
    def value(self) -> int:
        """The most this permit can move; `exact` moves all of it, `upto` what the work cost."""
        return self.amount

    @property
    def valid_before(self) -> int:
        """The first second at which it moves nothing any more: Permit2 still takes its deadline's own second."""
        return self.deadline + 1

    @property
    def nonce_bytes(self) -> bytes:
        """The nonce as it stands in a replay key (rule R18)."""
        return self.nonce.to_bytes(32, "big")


SignedTransfer: TypeAlias = Authorization | Permit2Authorization


@dataclass(frozen=True, slots=True)
class AcceptedTerms:
    """The requirements a version 2 payer says it accepted, as they came. `amount` in the asset's atomic unit."""

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    max_timeout_seconds: int
    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def transfer_method(self) -> str:
        """`eip3009`, unless the terms name another way to move the token."""
        method = self.extra.get("assetTransferMethod", "eip3009")
        return method if isinstance(method, str) else ""


@dataclass(frozen=True, slots=True)
class Payload:
    """One payment as sent: the authorization, what it was said to be for, and the raw document to forward."""

    version: int
    scheme: str
    network: str
    authorization: SignedTransfer
    document: JsonObject
    accepted: AcceptedTerms | None = None
    resource_url: str | None = None
    extensions: Mapping[str, JsonValue] = field(default_factory=dict)
    quote_id: str | None = None

    @property
    def exact(self) -> Authorization:
        """The EIP-3009 authorization. Raises PaymentRefused when the payer signed something else."""
        if not isinstance(self.authorization, Authorization):
            raise PaymentRefused("unsupported_payload_type", "an EIP-3009 authorization is needed here")
        return self.authorization

    @property
    def quote_token(self) -> str | None:
        """The quote a version 2 payer echoed in `accepted.extra.quote`, if it did."""
        token = self.accepted.extra.get("quote") if self.accepted is not None else None
        return token if isinstance(token, str) else None

    @property
    def payment_identifier(self) -> str | None:
        """The identifier the client chose (extension `payment-identifier`), if it is a valid one."""
        extension = self.extensions.get(payment_identifier.EXTENSION)
        info = extension.get("info") if isinstance(extension, dict) else None
        identifier = info.get("id") if isinstance(info, dict) else None
        is_one = isinstance(identifier, str) and payment_identifier.IDENTIFIER.fullmatch(identifier) is not None
        return str(identifier) if is_one else None


def read_payload(header: PaymentHeader) -> Payload:
    """The payment inside a decoded header.

    Raises PaymentRefused: `invalid_payload` for a field of the wrong shape, `invalid_network` and `unsupported_scheme`
    where the document says so itself. Source: x402 specification, PaymentPayload v1 and v2.
    """
    match header.form:
        case "v2":
            return _read_v2(header.document)
        case "v1":
            return _read_v1(header.document)
        case "reference":
            return _read_reference(header.document)


def read_document(document: JsonObject) -> Payload:
    """The payment in a facilitator's `paymentPayload`, read by its own `x402Version`. Raises PaymentRefused."""
    version = document.get("x402Version")
    if isinstance(version, int) and not isinstance(version, bool):
        if version == 2:
            return _read_v2(document)
        if version == 1:
            return _read_v1(document)
    raise PaymentRefused("invalid_x402_version", "x402Version is 1 or 2")


def read_amount(value: JsonValue, name: str) -> int:
    """A uint256 written as a canonical decimal string of ASCII digits. Raises PaymentRefused(invalid_payload)."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise _invalid(f"{name} is not a decimal string")
    number = int(value)
    if number >= UINT256_LIMIT:
        raise _invalid(f"{name} is not a uint256")
    return number


def read_address(value: JsonValue, name: str) -> bytes:
    """An address of 20 bytes in any letter case. Raises PaymentRefused(invalid_payload)."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise _invalid(f"{name} is not an address")
    return bytes.fromhex(value[2:])


def _read_v2(document: JsonObject) -> Payload:
    accepted = read_accepted(_object(document.get("accepted"), "accepted"))
    network = caip2_of(accepted.network)
    if network is None or ":" not in accepted.network:
        raise PaymentRefused("invalid_network", "accepted.network is not an EVM network in CAIP-2")
    extensions = document.get("extensions")
    return Payload(
        version=2,
        scheme=accepted.scheme,
        network=network,
        authorization=_read_signed(_object(document.get("payload"), "payload"), scheme=accepted.scheme),
        document=document,
        accepted=accepted,
        resource_url=_resource_url(document.get("resource")),
        extensions={} if extensions is None else _object(extensions, "extensions"),
    )


def _read_v1(document: JsonObject) -> Payload:
    scheme = _text(document.get("scheme"), "scheme")
    name = _text(document.get("network"), "network")
    network = caip2_of(name)
    if network is None or ":" in name:
        raise PaymentRefused("invalid_network", "network is not an EVM network of version 1")
    if scheme != "exact":
        raise PaymentRefused("unsupported_scheme", "version 1 pays by the exact scheme")
    signed = _object(document.get("payload"), "payload")
    return Payload(
        version=1,
        scheme=scheme,
        network=network,
        authorization=_read_authorization(signed),
        document=document,
    )


def _read_reference(document: JsonObject) -> Payload:
    """The reference system's PaymentProof: snake_case, `v`, `r`, `s` apart, chain id as a number, a quote id."""
    signed = _object(document.get("authorization"), "authorization")
    chain_id = _number(document.get("chain_id"), "chain_id")
    network = caip2_of(f"eip155:{chain_id}")
    if network is None:
        raise PaymentRefused("invalid_network", "chain_id is not an EVM chain")
    recovery = _number(signed.get("v"), "v")
    if recovery > 255:
        raise _invalid("v is not a byte")
    quote_id = document.get("quote_id")
    if quote_id is not None and not (isinstance(quote_id, str) and _QUOTE_ID.fullmatch(quote_id)):
        raise _invalid("quote_id is not an identifier")
    return Payload(
        version=1,
        scheme="exact",
        network=network,
        authorization=Authorization(
            from_=read_address(signed.get("from"), "from"),
            to=read_address(signed.get("to"), "to"),
            value=_number(signed.get("value"), "value"),
            valid_after=_number(signed.get("valid_after"), "valid_after"),
            valid_before=_number(signed.get("valid_before"), "valid_before"),
            nonce=_word(signed.get("nonce"), "nonce"),
            signature=_word(signed.get("r"), "r") + _word(signed.get("s"), "s") + bytes([recovery]),
        ),
        document=document,
        quote_id=quote_id if isinstance(quote_id, str) else None,
    )


def read_accepted(terms: JsonObject) -> AcceptedTerms:
    """A version 2 PaymentRequirements object. Raises PaymentRefused(invalid_payload)."""
    timeout = terms.get("maxTimeoutSeconds")
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise _invalid("accepted.maxTimeoutSeconds is not a whole number of seconds")
    extra = terms.get("extra")
    return AcceptedTerms(
        scheme=_text(terms.get("scheme"), "accepted.scheme"),
        network=_text(terms.get("network"), "accepted.network"),
        asset=_text(terms.get("asset"), "accepted.asset"),
        amount=read_amount(terms.get("amount"), "accepted.amount"),
        pay_to=_text(terms.get("payTo"), "accepted.payTo"),
        max_timeout_seconds=timeout,
        extra={} if extra is None else _object(extra, "accepted.extra"),
    )


def _read_signed(signed: JsonObject, *, scheme: str) -> SignedTransfer:
    if "authorization" in signed and "permit2Authorization" in signed:
        raise _invalid("payload holds two authorizations")
    if "permit2Authorization" in signed:
        return _read_permit2(signed, needs_facilitator=scheme == "upto")
    return _read_authorization(signed)


def _read_authorization(signed: JsonObject) -> Authorization:
    fields = _object(signed.get("authorization"), "payload.authorization")
    return Authorization(
        from_=read_address(fields.get("from"), "authorization.from"),
        to=read_address(fields.get("to"), "authorization.to"),
        value=read_amount(fields.get("value"), "authorization.value"),
        valid_after=read_amount(fields.get("validAfter"), "authorization.validAfter"),
        valid_before=read_amount(fields.get("validBefore"), "authorization.validBefore"),
        nonce=_word(fields.get("nonce"), "authorization.nonce"),
        signature=_signature(signed.get("signature")),
    )


def _read_permit2(signed: JsonObject, *, needs_facilitator: bool) -> Permit2Authorization:
    fields = _object(signed.get("permit2Authorization"), "payload.permit2Authorization")
    permitted = _object(fields.get("permitted"), "permit2Authorization.permitted")
    witness = _object(fields.get("witness"), "permit2Authorization.witness")
    facilitator = read_address(witness.get("facilitator"), "witness.facilitator") if needs_facilitator else None
    return Permit2Authorization(
        from_=read_address(fields.get("from"), "permit2Authorization.from"),
        token=read_address(permitted.get("token"), "permitted.token"),
        amount=read_amount(permitted.get("amount"), "permitted.amount"),
        spender=read_address(fields.get("spender"), "permit2Authorization.spender"),
        nonce=read_amount(fields.get("nonce"), "permit2Authorization.nonce"),
        deadline=read_amount(fields.get("deadline"), "permit2Authorization.deadline"),
        to=read_address(witness.get("to"), "witness.to"),
        valid_after=read_amount(witness.get("validAfter"), "witness.validAfter"),
        facilitator=facilitator,
        signature=_signature(signed.get("signature")),
    )


def _resource_url(resource: JsonValue) -> str | None:
    if resource is None:
        return None
    return _text(_object(resource, "resource").get("url"), "resource.url")


def _signature(value: JsonValue) -> bytes:
    if not isinstance(value, str) or len(value) > 2 + 2 * MAX_SIGNATURE_BYTES or not _HEX.fullmatch(value):
        raise _invalid("payload.signature is not hex")
    return bytes.fromhex(value[2:])


def _word(value: JsonValue, name: str) -> bytes:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _invalid(f"{name} is not 32 bytes in hex")
    return bytes.fromhex(value[2:])


def _number(value: JsonValue, name: str) -> int:
    """A uint256 as a JSON integer or a decimal string; only the reference form may use integers."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < UINT256_LIMIT:
            raise _invalid(f"{name} is not a uint256")
        return value
    return read_amount(value, name)


def _object(value: JsonValue, name: str) -> JsonObject:
    if not isinstance(value, dict):
        raise _invalid(f"{name} is not an object")
    return value


def _text(value: JsonValue, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid(f"{name} is not a text")
    return value


def _invalid(detail: str) -> PaymentRefused:
    return PaymentRefused("invalid_payload", detail)
