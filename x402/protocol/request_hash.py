"""What a payment is bound to: one hash over everything that decides what is sold (rule R21).

Every part is prefixed with its length, so no two requests share a byte string. A JSON body is parsed once, strictly,
and hashed in canonical form: clients may re-serialise between the two legs, and the handler receives the very value
that was hashed. Multipart bodies are hashed by parts, without their random boundary; all others as bytes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from typing import Final

from x402.protocol import strict_json
from x402.protocol.errors import INVALID_BODY, INVALID_JSON, MalformedBody
from x402.protocol.strict_json import InvalidJson, JsonValue

MAX_BODY_BYTES: Final = 65_536
MAX_PARTS: Final = 100
_DOMAIN: Final = b"loa/request/1"
_JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.ASCII)


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """A request body read once. `json` is meaningful only when `is_json`; `digest_input` is what gets hashed."""

    media_type: str
    raw: bytes
    is_json: bool
    json: JsonValue
    digest_input: bytes


def parse_body(body: bytes, *, content_type: str, max_bytes: int = MAX_BODY_BYTES) -> ParsedBody:
    """The body as its media type promises it.

    Raises MalformedBody: `invalid_json` for a JSON body with other than one reading, `invalid_body` for a broken
    multipart body or one above `max_bytes`.
    """
    if len(body) > max_bytes:
        raise MalformedBody(INVALID_BODY, f"the body is longer than {max_bytes} bytes")
    media_type = content_type.partition(";")[0].strip().lower()
    if body and _JSON_TYPE.fullmatch(media_type):
        try:
            value = strict_json.parse(body, max_bytes=max_bytes)
        except InvalidJson as error:
            raise MalformedBody(INVALID_JSON, str(error)) from None
        return ParsedBody(media_type, body, is_json=True, json=value, digest_input=strict_json.canonical_bytes(value))
    if body and media_type == "multipart/form-data":
        parts = _parts_of(body, _boundary_of(content_type))
        return ParsedBody(media_type, body, is_json=False, json=None, digest_input=_length_prefixed(parts))
    return ParsedBody(media_type, body, is_json=False, json=None, digest_input=body)


def request_hash(
    *, method: str, origin_and_path: tuple[str, str, str], query: Iterable[tuple[str, str]], body: ParsedBody
) -> bytes:
    """32 bytes that stand for this request.

    `origin_and_path` is the configured origin (never a Host header), the route's name or pattern, and the path the
    resolver matched; `query` are the decoded pairs, whose order does not matter.
    """
    pairs = sorted((_utf8(name), _utf8(value)) for name, value in query)
    return sha256(
        _length_prefixed(
            [
                _DOMAIN,
                method.upper().encode("ascii", "replace"),
                *map(_utf8, origin_and_path),
                _length_prefixed([part for pair in pairs for part in pair]),
                _utf8(body.media_type),
                body.digest_input,
            ]
        )
    ).digest()


def _length_prefixed(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _boundary_of(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    try:
        boundary = message.get_param("boundary")
    except ValueError:  # a continued parameter (RFC 2231) whose number has thousands of digits
        boundary = None
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 70 or not boundary.isascii():
        raise MalformedBody(INVALID_BODY, "a multipart body needs a boundary of 1 to 70 characters")
    return boundary.encode("ascii")


def _parts_of(body: bytes, boundary: bytes) -> list[bytes]:
    """The parts with their headers, as they stand between the boundaries. Source: RFC 2046 §5.1.1."""
    chunks = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(chunks) < 2 or len(chunks) > MAX_PARTS + 2 or not chunks[-1].startswith(b"--"):
        raise MalformedBody(INVALID_BODY, "the multipart body does not follow its boundary")
    parts = [chunk.partition(b"\r\n") for chunk in chunks[1:-1]]
    if any(padding.strip(b" \t") or not line_end for padding, line_end, _ in parts):
        raise MalformedBody(INVALID_BODY, "the multipart body does not follow its boundary")
    return [part for _, _, part in parts]
