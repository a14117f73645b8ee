"""A notice of a transfer: believed when it is signed, and then the next detection asks anew."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.test import Client

from nft.domain.personality import Traits
from nft.services import personalities
from nft.services.agents import agent_token
from nft.services.detection import detect_tokens
from tests.nft.conftest import AGENTS, CHAIN
from tests.nft.index_server import IndexServer, Reply, owned, page
from tests.nft.test_detection import wallet_checksum

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

KEY = "whsec_only_for_tests"
PATH = "/api/v1/nft/transfers"


@pytest.fixture(autouse=True)
def _has_key(configured: Callable[..., None], settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "ALCHEMY_SIGNING_KEYS": ["an-older-key", KEY]}


def send(body: bytes, *, key: str = KEY, signature: str | None = None) -> Any:
    made = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Alchemy-Signature": made if signature is None else signature}
    return Client().post(PATH, body, content_type="application/json", headers=headers)


def notice(*wallets: str, token_id: int = 1) -> bytes:
    moved = {"contractAddress": AGENTS, "erc721TokenId": hex(token_id)}
    activity = [{"fromAddress": wallets[0], "toAddress": wallets[-1]} | moved]
    return json.dumps({"type": "NFT_ACTIVITY", "event": {"network": "BASE_MAINNET", "activity": activity}}).encode()


def test_a_signed_notice_ends_what_is_remembered_of_both_wallets(index: IndexServer, wallet: str) -> None:
    index.answer = lambda _query: Reply(page(owned(AGENTS, "1")))
    receiver = "0x" + "5" * 40
    before = [detect_tokens(one).is_cached for one in (wallet, receiver, wallet, receiver)]

    told = send(notice(wallet.upper().replace("X", "x"), receiver))

    assert before == [False, False, True, True]
    assert told.status_code == 204
    assert [detect_tokens(one).is_cached for one in (wallet, receiver)] == [False, False]


def test_an_agent_follows_the_chain_and_not_the_notice(wallet: str, mint: Callable[..., None]) -> None:
    token_id = int(wallet, 16)
    mint(AGENTS, "mint", wallet_checksum(wallet), token_id)
    with transaction.atomic():
        row = personalities.put(agent_token(AGENTS, str(token_id)), Traits("Ada"), wallet="0x" + "3" * 40)

    told = send(notice("0x" + "3" * 40, "0x" + "4" * 40, token_id=token_id))

    row.refresh_from_db()
    assert (told.status_code, row.handed_to) == (204, wallet)


def test_whoever_tells_while_the_chain_is_away_is_to_tell_again(wallet: str, settings: LazySettings) -> None:
    with transaction.atomic():
        row = personalities.put(agent_token(AGENTS, str(int(wallet, 16))), Traits("Ada"), wallet=wallet)
    gone = settings.LOA["NETWORKS"][CHAIN] | {"rpc_urls": ["http://127.0.0.1:9"]}
    settings.LOA = settings.LOA | {"NETWORKS": {CHAIN: gone}, "NFT_CHAINS": {}}

    told = send(notice(wallet, "0x" + "4" * 40, token_id=int(wallet, 16)))

    row.refresh_from_db()
    assert (told.status_code, told.json()["code"], row.handed_to) == (503, "detection_unavailable", "")
    assert told["Retry-After"]


@pytest.mark.parametrize("signature", ["", "00", "x" * 64, "é"])
def test_a_notice_without_our_signature_is_not_believed(index: IndexServer, wallet: str, signature: str) -> None:
    index.answer = lambda _query: Reply(page(owned(AGENTS, "1")))
    detect_tokens(wallet)

    assert send(notice(wallet), signature=signature).status_code == 403
    assert send(notice(wallet), key="somebody-elses").status_code == 403
    assert detect_tokens(wallet).is_cached is True


def test_where_no_key_is_set_none_is_believed(settings: LazySettings, wallet: str) -> None:
    settings.LOA = {**settings.LOA, "ALCHEMY_SIGNING_KEYS": []}

    assert send(notice(wallet)).status_code == 403
    assert send(notice(wallet), key="").status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b"null", 204),
        (b"[]", 204),
        (b'{"event": 5}', 204),
        (b'{"event": {"activity": [7, {"fromAddress": null, "toAddress": "0x1"}]}}', 204),
    ],
)
def test_no_signed_body_fails(body: bytes, status: int) -> None:
    assert send(body).status_code == status
