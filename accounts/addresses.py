"""Addresses of wallets in one spelling, and addresses of clients as the rate limits see them. Plain Python."""

import ipaddress
import re
from typing import Final

_WALLET: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{40})")
IPV6_SITE_BITS: Final = 64  # one subscriber has a whole /64 and could take a new address for each request


def canonical_wallet(address: str) -> str:
    """An EVM address as 0x and 40 lower-case hex digits. Raises ValueError for anything else.

    >>> canonical_wallet("0x036CbD53842c5426634e7929541eC2318f3dCF7e")
    '0x036cbd53842c5426634e7929541ec2318f3dcf7e'
    """
    shape = _WALLET.fullmatch(address)
    if shape is None or not address.isascii():
        raise ValueError("An EVM address is 0x and 40 hex digits.")
    return "0x" + shape[1].lower()


def client_address(peer: str, forwarded_for: str, *, trusted_proxies: int) -> str:
    """The address of the client: the peer, or what the outermost of our own proxies wrote down.

    Each of our proxies appends the address it saw, so with n proxies the n-th entry from the right is the client's
    and everything left of it is the client's invention.

    >>> client_address("10.0.0.9", "6.6.6.6, 203.0.113.5", trusted_proxies=1)
    '203.0.113.5'
    """
    claims = [claim.strip() for claim in forwarded_for.split(",")] if forwarded_for else []
    if trusted_proxies and len(claims) >= trusted_proxies and _parsed(claims[-trusted_proxies]) is not None:
        return claims[-trusted_proxies]
    return peer


def rate_limit_address(address: str) -> str:
    """What one client is, to a limit: an IPv4 address, or the /64 of an IPv6 address.

    >>> rate_limit_address("2001:db8:1:2:3:4:5:6"), rate_limit_address("::ffff:203.0.113.5")
    ('2001:db8:1:2::', '203.0.113.5')
    """
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), IPV6_SITE_BITS), strict=False).network_address)
    return str(parsed)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
