"""Which addresses a URL from outside may lead to: public ones only. Plain Python: no resolver, no socket.

A host name is judged by the addresses it resolves to, all of them, and the connection is then made to one of the
judged addresses: a second answer of the resolver never counts. What embeds an IPv4 address (mapped, 6to4, NAT64,
Teredo) is judged by that as well.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

SCHEME_PORTS: Final = {"http": 80, "https": 443}
HOST_LENGTH_MAX: Final = 253  # what a name can have in the DNS
URL_LENGTH_MAX: Final = 8000  # what servers take; an index is asked for 45 contracts in one URL

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT leads to internal workloads
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001:20::/28",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class UrlRefused(ValueError):
    """Raised when a URL is not one we call: its scheme, its user part, its length or its host."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads, before any name is resolved."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """`host:port`, as settings name a trusted host; a port of the scheme may be left out there."""
        return f"{self.host}:{self.port}"

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SCHEME_PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """Take a URL apart. Raises UrlRefused for anything but plain http and https without a user part.

    >>> target_of("https://api.example.com/v1?a=b")
    Target(scheme='https', host='api.example.com', port=443, path='/v1?a=b')
    """
    if len(url) > URL_LENGTH_MAX or not url.isascii() or any(mark in url for mark in " \t\r\n\\"):
        raise UrlRefused("The URL is too long or holds characters that do not belong into one.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlRefused("The URL cannot be read.") from error
    if parts.scheme not in SCHEME_PORTS:
        raise UrlRefused("Only http and https are called.")
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("A URL with a user part is not called.")
    host = (parts.hostname or "").rstrip(".")
    if not host or "%" in host or len(host) > HOST_LENGTH_MAX:
        raise UrlRefused("The URL names no host.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, SCHEME_PORTS[parts.scheme] if port is None else port, path)


def is_public(address: str) -> bool:
    """Whether an address, in the form a resolver gives it, is a public unicast one.

    >>> [is_public(address) for address in ("93.184.215.14", "169.254.169.254", "::ffff:7f00:1", "2002:7f00:1::")]
    [True, False, False, False]
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(candidate) for candidate in (parsed, *_embedded(parsed)))


def public_addresses(addresses: Iterable[str]) -> list[str]:
    """The addresses without repetitions, or none at all when one of them is not public."""
    unique = list(dict.fromkeys(addresses))
    return unique if unique and all(is_public(address) for address in unique) else []


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address in _NAT64):
        return True  # judged by the IPv4 address inside
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local:
        return False
    if any(address.version == network.version and address in network for network in _NEVER):
        return False
    return address.is_global


def _embedded(address: IPAddress) -> list[IPAddress]:
    """The IPv4 addresses an IPv6 address carries."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[IPAddress] = [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner is not None]
    if address.teredo is not None:
        found.extend(address.teredo)
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found
