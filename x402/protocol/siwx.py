"""Sign-in-with-x: a wallet proves itself in one header, over a challenge a 402 handed out.

The challenge rides in the extension `sign-in-with-x`; the proof is base64 JSON in SIGN-IN-WITH-X, an EIP-4361 message
in pieces with its signature. The proof is a bearer for as long as it lives (rule R13): callers must bind it to one
request by its nonce and resources, and let each nonce count once. Only EVM chains and keys without code are read here.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from x402.protocol import eip712, headers, networks
from x402.protocol.errors import MalformedPayment, SignInRefused
from x402.protocol.strict_json import JsonObject, JsonValue

EXTENSION: Final = "sign-in-with-x"
MAX_AGE: Final = timedelta(minutes=5)
MAX_RESOURCES: Final = 8
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_SIGNATURE: Final = re.compile(r"0x[0-9a-fA-F]{130}", re.ASCII)
_NONCE: Final = re.compile(r"[a-zA-Z0-9]{8,128}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_PLAIN_LINE: Final = re.compile(r"[\x20-\x7e]{0,2048}", re.ASCII)  # no line breaks: a message has one reading


@dataclass(frozen=True, slots=True)
class SignInProof:
    """A parsed proof: every field is one printable line, so `message` can be read in one way only."""

    domain: str
    address: bytes
    address_text: str
    uri: str
    version: str
    chain_id: int
    nonce: str
    issued_at: str
    signature: bytes
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The text the wallet signed. Source: EIP-4361, message format."""
        lines = [f"{self.domain} wants you to sign in with your Ethereum account:", self.address_text, ""]
        if self.statement is not None:
            lines.append(self.statement)
        lines += [
            "",
            f"URI: {self.uri}",
            f"Version: {self.version}",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {self.issued_at}",
        ]
        if self.expiration_time is not None:
            lines.append(f"Expiration Time: {self.expiration_time}")
        if self.not_before is not None:
            lines.append(f"Not Before: {self.not_before}")
        if self.request_id is not None:
            lines.append(f"Request ID: {self.request_id}")
        if self.resources:
            lines.append("Resources:")
            lines += [f"- {resource}" for resource in self.resources]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a 402 asks a wallet to sign; times are ISO 8601 in UTC."""

    domain: str
    uri: str
    nonce: str
    issued_at: str
    expiration_time: str
    statement: str
    networks: tuple[str, ...]
    resources: tuple[str, ...] = ()

    def to_extension(self) -> JsonObject:
        """The extension as it stands in PaymentRequired. Source: x402 v2, sign-in-with-x."""
        info: JsonObject = {
            "domain": self.domain,
            "uri": self.uri,
            "version": "1",
            "nonce": self.nonce,
            "issuedAt": self.issued_at,
            "expirationTime": self.expiration_time,
            "statement": self.statement,
        }
        if self.resources:
            info["resources"] = list[JsonValue](self.resources)
        chains: list[JsonValue] = [{"chainId": network, "type": "eip191"} for network in self.networks]
        return {"info": info, "supportedChains": chains, "schema": schema()}


def schema() -> JsonObject:
    """The JSON Schema of the proof: what must be in it, and what our challenges say; the header has 4 KiB for all."""
    texts = ("domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt", "signature")
    properties: JsonObject = {name: {"type": "string"} for name in (*texts, "statement", "expirationTime")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": list[JsonValue](texts),
    }


def read_header(value: str) -> SignInProof:
    """The proof in a SIGN-IN-WITH-X header.

    Raises MalformedPayment when it cannot be decoded, SignInRefused when a field has not the shape it needs.
    """
    document = headers.decode_object(value, name=headers.SIGN_IN_WITH_X)
    network = _line(document, "chainId")
    if networks.caip2_of(network) is None or not network.startswith("eip155:"):
        raise SignInRefused("invalid_siwx_unsupported_chain", "only EVM chains sign in here")
    if document.get("type") != "eip191" or document.get("signatureScheme", "eip191") != "eip191":
        raise SignInRefused("invalid_siwx_malformed_signature", "only keys without code sign in here")
    address = _line(document, "address")
    signature = _line(document, "signature")
    nonce = _line(document, "nonce")
    if not _ADDRESS.fullmatch(address) or not _SIGNATURE.fullmatch(signature):
        raise SignInRefused("invalid_siwx_malformed_signature", "address or signature is not hex of its length")
    if not _NONCE.fullmatch(nonce):
        raise SignInRefused("invalid_siwx_nonce", "a nonce is 8 or more letters and digits")
    return SignInProof(
        domain=_line(document, "domain"),
        address=bytes.fromhex(address[2:]),
        address_text=eip712.checksum_address(bytes.fromhex(address[2:])),
        uri=_line(document, "uri"),
        version=_line(document, "version"),
        chain_id=networks.chain_id_of(network),
        nonce=nonce,
        issued_at=_line(document, "issuedAt"),
        signature=bytes.fromhex(signature[2:]),
        statement=_optional_line(document, "statement"),
        expiration_time=_optional_line(document, "expirationTime"),
        not_before=_optional_line(document, "notBefore"),
        request_id=_optional_line(document, "requestId"),
        resources=_resources(document.get("resources")),
    )


def require_valid(proof: SignInProof, *, origin: str, now: datetime, max_age: timedelta = MAX_AGE) -> bytes:
    """The wallet that signed in to `origin`, as 20 bytes; whether its nonce was used before is the caller's question.

    Raises SignInRefused with the extension's code. Source: x402 v2, sign-in-with-x; EIP-4361.
    """
    expected = urlsplit(origin)
    if proof.domain != expected.netloc:
        raise SignInRefused("invalid_siwx_domain_mismatch", f"sign in to {expected.netloc}")
    if _origin_of(proof.uri) != f"{expected.scheme}://{expected.netloc}":
        raise SignInRefused("invalid_siwx_uri_mismatch", f"sign in to {origin}")
    if proof.version != "1":
        raise SignInRefused("invalid_siwx_signature", "the message version is 1")
    issued_at = _time(proof.issued_at, "invalid_siwx_issued_at")
    if issued_at > now:
        raise SignInRefused("invalid_siwx_issued_at_in_future", "issuedAt is in the future")
    if now - issued_at > max_age:
        raise SignInRefused("invalid_siwx_issued_at_too_old", "issuedAt is too long ago")
    if proof.expiration_time is not None and _time(proof.expiration_time, "invalid_siwx_expiration_time") <= now:
        raise SignInRefused("invalid_siwx_expired", "the proof has expired")
    if proof.not_before is not None and _time(proof.not_before, "invalid_siwx_not_before") > now:
        raise SignInRefused("invalid_siwx_not_yet_valid", "the proof is not valid yet")
    try:
        signer = eip712.recover(eip712.personal_digest(proof.message.encode("ascii")), proof.signature)
    except eip712.InvalidSignature as error:
        raise SignInRefused("invalid_siwx_malformed_signature", str(error)) from None
    if signer != proof.address:
        raise SignInRefused("invalid_siwx_signature", "another key signed this message")
    return signer


def _origin_of(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise SignInRefused("invalid_siwx_uri_mismatch", "uri is not a URL") from None
    return f"{parts.scheme}://{parts.netloc}"


def _time(text: str, code: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise SignInRefused(code, "a time is ISO 8601 with its offset")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise SignInRefused(code, "no such moment") from None


def _line(document: JsonObject, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value or not _PLAIN_LINE.fullmatch(value):
        raise MalformedPayment("invalid_sign_in_header", f"{name} is not one printable line")
    return value


def _optional_line(document: JsonObject, name: str) -> str | None:
    return None if document.get(name) is None else _line(document, name)


def _resources(value: JsonValue) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_RESOURCES:
        raise MalformedPayment("invalid_sign_in_header", f"resources is a list of at most {MAX_RESOURCES} URIs")
    return tuple(_line({"resources": item}, "resources") for item in value)
