"""A notice of a transfer: believed when it is signed, and then the next detection asks anew."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from nft.services.detection import detect_tokens
from tests.nft.conftest import AGENTS
from tests.nft.index_server import IndexServer, Reply, owned, page

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


def notice(*wallets: str) -> bytes:
    activity = [
        {"fromAddress": wallets[0], "toAddress": wallets[-1], "contractAddress": AGENTS, "erc721TokenId": "0x1"}
    ]
    return json.dumps({"type": "NFT_ACTIVITY", "event": {"network": "BASE_MAINNET", "activity": activity}}).encode()


def test_a_signed_notice_ends_what_is_remembered_of_both_wallets(index: IndexServer, wallet: str) -> None:
    index.answer = lambda _query: Reply(page(owned(AGENTS, "1")))
    receiver = "0x" + "5" * 40
    before = [detect_tokens(one).is_cached for one in (wallet, receiver, wallet, receiver)]

    told = send(notice(wallet.upper().replace("X", "x"), receiver))

    assert before == [False, False, True, True]
    assert told.status_code == 204
    assert [detect_tokens(one).is_cached for one in (wallet, receiver)] == [False, False]


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
