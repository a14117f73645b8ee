"""Which URLs and addresses are called at all (faults.md 59)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbound.address_filter import Target, UrlRefused, is_public, public_addresses, target_of

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
    "5f00::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:0:7f00:1::1",
    "fe80::1%eth0",
    "not-an-address",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_our_own_world_is_refused_in_every_disguise(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"]
)
def test_a_public_address_is_called(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    assert public_addresses(["93.184.215.14", "127.0.0.1"]) == []
    assert public_addresses(["93.184.215.14", "93.184.215.14"]) == ["93.184.215.14"]
    assert public_addresses([]) == []


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_all_its_ipv6_disguises(address: ipaddress.IPv4Address) -> None:
    nat64 = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | int(address))

    assert is_public(f"::ffff:{address}") == is_public(str(address))
    assert is_public(str(nat64)) == is_public(str(address))


@pytest.mark.parametrize(
    "url",
    [
        "gopher://example.com/",
        "unix:/var/run/docker.sock",
        "file:///etc/passwd",
        "//example.com/",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http:///path",
        "http://[fe80::1%25eth0]/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: evil",
        "http://ex\u00e4mple.com/",
        "http://example.com\\@evil/",
        "http://" + "a" * 300,
        "http://example.com/" + "a" * 9000,
    ],
)
def test_a_url_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        target_of(url)


def test_a_url_is_taken_apart_once() -> None:
    assert target_of("https://API.example.com.:8443/v1/x?q=1#f") == Target(
        "https", "api.example.com", 8443, "/v1/x?q=1"
    )
    assert target_of("http://[2606:2800::1]").host_header == "[2606:2800::1]"
