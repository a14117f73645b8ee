"""Pictures of tokens by way of this site: strangers' addresses, sizes, types and redirects, and what is remembered."""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.db import connections
from django.test import Client
from django.utils import timezone

from nft.domain.personality import Traits
from nft.domain.token_uris import UriRefused, embedded_bytes
from nft.models import TokenPicture
from nft.services import personalities, pictures
from nft.services.agents import agent_token
from tests.nft.conftest import AGENTS, CHAIN
from tests.nft.file_server import File, FileServer
from tests.nft.holders import Holder

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@pytest.fixture(autouse=True)
def _nodes_only(configured: Callable[..., None]) -> None:
    configured(has_index=False)


@pytest.fixture
def stranger(settings: LazySettings, _nodes_only: None) -> Iterator[FileServer]:
    """A server that a token names; it is also the gateway of the settings."""
    server = FileServer()
    settings.LOA = settings.LOA | {
        "NFT_IPFS_GATEWAY": f"http://{server.origin}/ipfs/",
        "OUTBOUND_TRUSTED_HOSTS": [server.origin],
    }
    yield server
    server.stop()


@pytest.fixture
def token(mint: Callable[..., None], holder: Holder) -> str:
    number = secrets.randbits(250)
    mint(AGENTS, "mint", holder.wallet, number)
    return str(number)


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def describe(holder: Holder, token: str, send_to: Callable[..., None]) -> Callable[[str], None]:
    """Let the contract say where the token is described, as its holder may."""
    return lambda uri: send_to(holder, AGENTS, "setTokenURI", int(token), uri)


def shown(token: str, **headers: str) -> Any:
    return Client().get(f"/agent/{AGENTS}/{token}/picture", headers=headers)


def embedded(document: Any, kind: str = "application/json") -> str:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


def test_a_picture_is_fetched_once_and_served_as_what_its_bytes_are(
    stranger: FileServer, token: str, describe: Callable[[str], None]
) -> None:
    stranger.files[f"/ipfs/{CID}/7.json"] = File(json.dumps({"image": f"ipfs://{CID}/7.png"}).encode())
    stranger.files[f"/ipfs/{CID}/7.png"] = File(PNG, media_type="text/html")
    describe(f"ipfs://{CID}/7.json")

    first, second = shown(token), shown(token)
    unchanged = shown(token, **{"If-None-Match": first["ETag"]})

    assert (first.status_code, first["Content-Type"], first.content) == (200, "image/png", PNG)
    assert first["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert (first["X-Content-Type-Options"], first["Cross-Origin-Resource-Policy"]) == ("nosniff", "same-origin")
    assert first["Cache-Control"] == "public, max-age=3600"
    assert first["Content-Disposition"] == 'inline; filename="token.png"'
    assert (second.content, unchanged.status_code, unchanged.content) == (PNG, 304, b"")
    assert stranger.asked == [f"/ipfs/{CID}/7.json", f"/ipfs/{CID}/7.png"]


def test_what_is_in_the_address_itself_asks_nobody(
    stranger: FileServer, token: str, describe: Callable[[str], None]
) -> None:
    describe(embedded({"image": embedded(PNG, "image/svg+xml")}))

    answer = shown(token)

    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert stranger.asked == []


REFUSED = {
    "svg": {"image": embedded(SVG, "image/png")},
    "page": {"image": embedded(b"<html>", "image/gif")},
    "nothing named": {"name": "no picture"},
    "a number": {"image": 7},
    "a list": [1],
    "plain http": {"image": "http://example.com/a.png"},
    "file": {"image": "file:///etc/passwd"},
    "gopher": {"image": "gopher://127.0.0.1/1"},
    "unix": {"image": "unix:/run/redis.sock"},
    "metadata service": {"image": "https://169.254.169.254/latest/meta-data/"},
    "loopback": {"image": "https://127.0.0.1/a.png"},
    "loopback in six": {"image": "https://[::1]/a.png"},
    "mapped loopback": {"image": "https://[::ffff:7f00:1]/a.png"},
    "short loopback": {"image": "https://127.1/a.png"},
    "number of an address": {"image": "https://2130706433/a.png"},
    "dotted localhost": {"image": "https://localhost./a.png"},
    "user part": {"image": "https://example.com@127.0.0.1/a.png"},
    "up the gateway": {"image": f"ipfs://{CID}/../../admin"},
    "no content id": {"image": "ipfs://../admin"},
}


@pytest.mark.parametrize("document", list(REFUSED.values()), ids=list(REFUSED))
def test_what_may_not_be_shown_is_no_picture(
    stranger: FileServer, token: str, describe: Callable[[str], None], document: Any
) -> None:
    describe(embedded(document))

    answer = shown(token)

    assert (answer.status_code, answer.json()["code"]) == (404, "picture_not_found")
    assert stranger.asked == []
    assert TokenPicture.objects.get(token_id=token).reason


@pytest.mark.parametrize("kind", ["application/json;base64", "application/json"])
def test_an_address_holds_no_more_bytes_than_a_server_may_send(kind: str) -> None:
    held = base64.b64encode(b"7" * 100) if kind.endswith("base64") else b"7" * 100
    uri = f"data:{kind},{held.decode()}"

    assert embedded_bytes(uri, bytes_max=100) == b"7" * 100
    for bytes_max in (99, 1):
        with pytest.raises(UriRefused, match="too many bytes"):
            embedded_bytes(uri, bytes_max=bytes_max)


def test_a_host_that_settings_trust_is_not_trusted_for_a_stranger(
    stranger: FileServer, token: str, describe: Callable[[str], None]
) -> None:
    describe(embedded({"image": f"https://{stranger.origin}/a.png"}))

    assert shown(token).status_code == 404
    assert stranger.asked == []
    assert TokenPicture.objects.get(token_id=token).reason == "outbound_address_refused"


@pytest.mark.parametrize(
    "goal", ["http://{origin}/a.png", "https://{origin}/a.png", "https://10.0.0.1/", "file:///etc"]
)
def test_no_redirect_leads_into_our_own_network(
    stranger: FileServer, token: str, describe: Callable[[str], None], goal: str
) -> None:
    moved = {"Location": goal.format(origin=stranger.origin)}
    stranger.files[f"/ipfs/{CID}"] = File(status=302, headers=moved)
    describe(embedded({"image": f"ipfs://{CID}"}))

    assert shown(token).status_code == 404
    assert stranger.asked == [f"/ipfs/{CID}"]


def test_an_endless_answer_is_cut_at_the_limit(
    stranger: FileServer, token: str, describe: Callable[[str], None]
) -> None:
    stranger.files[f"/ipfs/{CID}"] = File(PNG + b"\0" * 1024 * 1024)
    describe(embedded({"image": f"ipfs://{CID}"}))

    assert shown(token).status_code == 404
    assert TokenPicture.objects.get(token_id=token).body == b""


def test_without_a_gateway_nothing_is_fetched_from_ipfs(
    settings: LazySettings, stranger: FileServer, token: str, describe: Callable[[str], None]
) -> None:
    settings.LOA = settings.LOA | {"NFT_IPFS_GATEWAY": ""}
    describe(f"ipfs://{CID}/7.json")

    assert shown(token).status_code == 404
    assert stranger.asked == []


def test_many_visitors_at_once_are_one_fetch(stranger: FileServer, token: str, describe: Callable[[str], None]) -> None:
    go_on, count = threading.Event(), 20
    stranger.files[f"/ipfs/{CID}"] = File(PNG, wait_for=go_on)
    describe(embedded({"image": f"ipfs://{CID}"}))
    at_the_door = threading.Barrier(count + 1)

    def look(_number: int) -> int:
        try:
            at_the_door.wait(30)
            return int(shown(token).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        answers = [pool.submit(look, number) for number in range(count)]
        at_the_door.wait(30)
        while not stranger.asked:
            threading.Event().wait(0.01)
        go_on.set()
        statuses = [one.result(60) for one in answers]

    assert statuses == [200] * count
    assert stranger.asked == [f"/ipfs/{CID}"]


def test_that_there_is_nothing_is_remembered_for_ten_minutes_and_a_picture_for_a_day(
    stranger: FileServer, token: str, describe: Callable[[str], None]
) -> None:
    describe(embedded({"image": f"ipfs://{CID}"}))
    now = timezone.now()

    missing = [shown(token).status_code, shown(token).status_code]
    stranger.files[f"/ipfs/{CID}"] = File(PNG)
    with time_machine.travel(now + timedelta(minutes=11)):
        found = shown(token).status_code
    with time_machine.travel(now + timedelta(hours=20)):
        shown(token)
    asked_in_a_day = len(stranger.asked)
    with time_machine.travel(now + timedelta(days=2)):
        shown(token)

    assert (missing, found) == ([404, 404], 200)
    assert (asked_in_a_day, len(stranger.asked)) == (2, 3)


def test_a_contract_that_cannot_be_asked_is_not_a_token_without_a_picture(token: str, settings: Any) -> None:
    gone = settings.LOA["NETWORKS"][CHAIN] | {"rpc_urls": ["http://127.0.0.1:9"]}
    settings.LOA = settings.LOA | {"NETWORKS": {CHAIN: gone}, "NFT_CHAINS": {}}

    answer = shown(token)

    assert (answer.status_code, answer.json()["code"]) == (503, "detection_unavailable")
    assert answer["Retry-After"]
    assert not TokenPicture.objects.filter(token_id=token).exists()


@pytest.mark.parametrize("path", [f"{AGENTS}/{2**255 + 1}", f"{AGENTS}/abc", "0x1/7", f"{'0x' + '9' * 40}/7"])
def test_a_token_that_is_not_has_no_picture(path: str) -> None:
    assert Client().get(f"/agent/{path}/picture").status_code == 404


def test_who_asks_too_often_is_told_to_wait(settings: LazySettings, token: str) -> None:
    settings.LOA = settings.LOA | {"RATE_LIMITS": {"picture": 1}}

    assert [shown(token).status_code for _ in range(2)] == [404, 429]


def test_an_agents_page_shows_a_picture_that_is_here_and_fetches_none(
    stranger: FileServer, holder: Holder, token: str, describe: Callable[[str], None]
) -> None:
    stranger.files[f"/ipfs/{CID}"] = File(PNG)
    describe(embedded({"image": f"ipfs://{CID}"}))
    known = agent_token(AGENTS, token)
    personalities.create(known, Traits("Ada"), wallet=holder.wallet)
    page, picture = f"/agent/{AGENTS}/{token}", f"/agent/{AGENTS}/{token}/picture"

    before = Client().get(page).content.decode()
    asked_by_the_page = list(stranger.asked)
    found = pictures.fetch_for_agents()
    again = pictures.fetch_for_agents()
    after = Client().get(page).content.decode()

    assert picture not in before
    assert asked_by_the_page == []
    assert (found, again) == (1, 0)
    assert picture in after


def test_old_pictures_are_swept(token: str, stranger: FileServer, describe: Callable[[str], None]) -> None:
    describe(embedded({"image": embedded(PNG, "image/png")}))
    shown(token)
    TokenPicture.objects.filter(token_id=token).update(fetched_at=timezone.now() - timedelta(days=2))

    assert pictures.sweep() >= 1
    assert not TokenPicture.objects.filter(token_id=token).exists()
