"""Where a token's description and its picture may come from, and what a picture may be. Plain Python.

Whoever mints or holds a token chooses these addresses, so each is a stranger's. Three schemes are read: `https`, `data`
(the bytes are in the address itself) and `ipfs`, through the gateway that the settings name. Nothing else is: no
plain http, no files, no other protocols. A picture is what its first bytes say, whatever its server calls it, and only
formats of dots are shown: SVG and HTML carry scripts.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urljoin

URI_LENGTH_MAX: Final = 2_048  # of an address; bytes inside a `data:` are bounded as bytes
METADATA_BYTES_MAX: Final = 256 * 1024
PICTURE_BYTES_MAX: Final = 1024 * 1024
PICTURE_FIELDS: Final = ("image", "image_url")
_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9]{32,128}")
_ATTRIBUTES_MAX: Final = 200


class UriRefused(Exception):
    """Raised when an address, or what it led to, is not taken; `reason` names no address."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_embedded(uri: str) -> bool:
    """Whether the bytes are in the address itself."""
    return uri[:5].lower() == "data:"


def embedded_bytes(uri: str, *, bytes_max: int) -> bytes:
    """The bytes of a `data:` address. Raises UriRefused. Source: RFC 2397.

    >>> embedded_bytes("data:,a%20b", bytes_max=10), embedded_bytes("data:text/plain;base64,YWI=", bytes_max=10)
    (b'a b', b'ab')
    """
    kind, comma, data = uri[5:].partition(",")
    if not comma or len(kind) > _ATTRIBUTES_MAX:
        raise UriRefused("the data address cannot be read")
    if len(data) > 4 * bytes_max:
        raise UriRefused("there are too many bytes")
    plain = unquote_to_bytes(data)
    if kind.lower().endswith(";base64"):
        try:
            plain = base64.b64decode(plain, validate=True)
        except (binascii.Error, ValueError):
            raise UriRefused("the data address is not base64") from None
    if len(plain) > bytes_max:
        raise UriRefused("there are too many bytes")
    return plain


def is_of_the_gateway(uri: str) -> bool:
    """Whether an address is asked of our gateway."""
    return uri[:7].lower() == "ipfs://"


def location_of(uri: str, *, gateway: str) -> str:
    """The https address to ask for what is not embedded. Raises UriRefused.

    `gateway` is the address that stands before a content id, empty for none.

    >>> location_of("ipfs://ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3/7 a.json", gateway="https://gw.example/ipfs/")
    'https://gw.example/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3/7%20a.json'
    """
    if len(uri) > URI_LENGTH_MAX:
        raise UriRefused("the address is too long")
    if is_of_the_gateway(uri):
        return _of_gateway(uri[7:], gateway)
    if uri[:8].lower() != "https://" or not uri.isascii() or not uri.isprintable():
        raise UriRefused("the scheme is none of https, data and ipfs")
    return uri


def next_location(url: str, told: str) -> str:
    """Where a redirect leads. Raises UriRefused for anything but https."""
    return location_of(urljoin(url, told), gateway="")


def picture_uri_of(document: bytes) -> str:
    """The picture that a token's description names. Raises UriRefused. Source: ERC-721, metadata extension."""
    try:
        described = json.loads(document.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UriRefused("the description is not JSON") from None
    named = [described.get(field) for field in PICTURE_FIELDS] if isinstance(described, Mapping) else []
    for uri in named:
        if isinstance(uri, str) and uri:
            return uri
    raise UriRefused("the description names no picture")


def raster_type_of(body: bytes) -> str:
    """The media type of a picture, by its first bytes. Raises UriRefused for everything that is not made of dots.

    >>> raster_type_of(b"GIF89a...")
    'image/gif'
    """
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if body.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if body.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    raise UriRefused("it is no PNG, JPEG, GIF or WebP")


def _of_gateway(path: str, gateway: str) -> str:
    if not gateway:
        raise UriRefused("no gateway for ipfs is configured")
    content_id, _slash, rest = path.removeprefix("ipfs/").partition("/")
    if _CONTENT_ID.fullmatch(content_id) is None or ".." in rest.split("/"):
        raise UriRefused("the ipfs address has no content id")
    below = quote(rest, safe="/%")
    return gateway.rstrip("/") + "/" + content_id + (f"/{below}" if below else "")
