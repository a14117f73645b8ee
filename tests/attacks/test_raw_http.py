"""Row 12 on the real server, byte by byte: what no HTTP library would send."""

import select
import socket
from collections.abc import Iterator

import pytest

from tests.attacks.score import Attack
from tests.attacks.test_duplicates import SITE, live_terms
from tests.attacks.tools import until
from tests.journeys.live_site import LiveSite

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ROW = pytest.mark.attacks("12 header games")


BODIES_PER_CLIENT = 12  # of the server's 24 threads


@pytest.fixture(scope="module")
def shop_site() -> Iterator[LiveSite]:
    with LiveSite(SITE | {"LOA_BODIES_PER_CLIENT": str(BODIES_PER_CLIENT)}) as running:
        yield running


def spoken(site: LiveSite, request: bytes, *, seconds: float = 5, source: str = "127.0.0.1") -> int:
    """The status the server answers to these bytes from that address; 0 when it closes without one."""
    address = ("127.0.0.1", site.port)
    with socket.create_connection(address, timeout=seconds, source_address=(source, 0)) as connection:
        try:
            connection.sendall(request)
            answer = connection.recv(65_536)
        except (ConnectionError, TimeoutError):
            return 0
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def get(*lines: bytes, path: bytes = b"/item/a") -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"") -> bytes:
    head = [b"POST /ask HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", b"Content-Type: application/json"]
    return b"\r\n".join([*head, *lines, b"", b""]) + body


REFUSED = {
    "a header of 1 MB": get(b"PAYMENT-SIGNATURE: " + b"A" * 1_000_000),
    "a header of 60 KB": get(b"PAYMENT-SIGNATURE: " + b"A" * 60_000),
    "a header twice": get(b"PAYMENT-SIGNATURE: e30=", b"PAYMENT-SIGNATURE: e30="),
    "a header twice, spelt apart": get(b"payment-signature: e30=", b"Payment-Signature: e31="),
    "both versions": get(b"PAYMENT-SIGNATURE: e30=", b"X-PAYMENT: e30="),
    "a NUL in a header": get(b"PAYMENT-SIGNATURE: e30=\x00"),
    "bytes beyond ASCII": get(b"PAYMENT-SIGNATURE: \xff\xfe\xfd"),
    "a folded header": get(b"PAYMENT-SIGNATURE: e30=", b" e30="),
    "a space before the colon": get(b"PAYMENT-SIGNATURE : e30="),
    "a thousand headers": get(*[b"X-%d: 1" % number for number in range(1_000)]),
    "a path of 100 KB": get(path=b"/item/" + b"x" * 100_000),
    "two lengths": post(b"Content-Length: 2", b"Content-Length: 20", body=b"{}"),
    "a length and chunks": post(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"{}"),
    "a negative length": post(b"Content-Length: -1", body=b"{}"),
    "a length in words": post(b"Content-Length: two", body=b"{}"),
    "a body of 1 MB": post(b"Content-Length: 1000000", body=b"[" * 1_000_000),
    "a body said to be huge": post(b"Content-Length: 99999999999999999999", body=b"{}"),
    "chunks without end": post(
        b"Transfer-Encoding: chunked",
        body=b"10000\r\n" + b"[" * 65_536 + b"\r\n" + b"10000\r\n" + b"[" * 65_536 + b"\r\n0\r\n\r\n",
    ),
    "broken JSON in chunks": post(b"Transfer-Encoding: chunked", body=b"1\r\n[\r\n0\r\n\r\n"),
    "not HTTP": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
}


@ROW
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_and_the_server_lives_on(shop_site: LiveSite, name: str) -> None:
    status = spoken(shop_site, REFUSED[name])

    assert status == 0 or 400 <= status < 500, status
    assert spoken(shop_site, get(), seconds=20) == 402


@ROW
def test_a_header_with_an_underscore_pays_nothing_beside_a_real_one(attack: Attack, shop_site: LiveSite) -> None:
    """`X_PAYMENT` and `X-PAYMENT` become one variable in some servers; then two payments would be one header."""
    buyer = attack.buyer()
    header = buyer.v2_header(live_terms(shop_site.ask("GET", "/item/a"))).encode()

    smuggled = spoken(shop_site, get(b"PAYMENT_SIGNATURE: " + header))
    both = spoken(shop_site, get(b"PAYMENT-SIGNATURE: e30=", b"PAYMENT_SIGNATURE: " + header))

    assert smuggled in (400, 402)
    assert both in (400, 402)
    assert attack.chain.balance_of(buyer.address) == 1_000_000


SLOW = b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


@ROW
def test_a_client_that_sends_slowly_does_not_stop_the_others(shop_site: LiveSite) -> None:
    """Each body that is waited for holds a thread: above its share a client is told so, and all others are served."""
    slow = [socket.create_connection(("127.0.0.1", shop_site.port), timeout=20) for _ in range(30)]
    try:
        for connection in slow:
            connection.sendall(SLOW)
        until(lambda: len(select.select(slow, [], [], 0)[0]) == len(slow) - BODIES_PER_CLIENT, seconds=30)
        told = [connection.recv(65_536) for connection in select.select(slow, [], [], 0)[0]]
        unpaid = spoken(shop_site, get(), seconds=20)
        own = spoken(shop_site, post(b"Content-Length: 2", body=b"{}"), seconds=20)
        of_another = spoken(shop_site, post(b"Content-Length: 2", body=b"{}"), seconds=20, source="127.0.0.2")
    finally:
        for connection in slow:
            connection.close()

    assert {answer.split(b" ", 2)[1] for answer in told} == {b"429"}
    assert len(told) == len(slow) - BODIES_PER_CLIENT
    assert (unpaid, own, of_another) == (402, 429, 402)
    until(lambda: spoken(shop_site, post(b"Content-Length: 2", body=b"{}")) == 402, seconds=30)
