"""What a wallet owns: one question however many ask, nodes where the index is away, no outage that says "nothing"."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import LazySettings

from nft.domain.errors import DetectionUnavailable, NotTheOwner
from nft.services import detection
from nft.services.detection import detect_tokens, forget_wallet
from nft.services.known_collections import alchemy_detector, collection_of
from nft.services.ownership import require_owner
from outbound.breaker import State
from tests.nft.conftest import AGENTS, CHAIN, PASSES
from tests.nft.index_server import IndexServer, Reply, owned, page

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("configured")]


@pytest.fixture(autouse=True)
def _closed_circuit(configured: Callable[..., None]) -> None:
    detection._breaker.force_close()


def ids(found: detection.Detection) -> list[tuple[str, str, int]]:
    return [(token.collection, token.token_id, token.balance) for token in found.tokens]


def test_without_a_key_the_index_is_off(configured: Callable[..., None], index: IndexServer, wallet: str) -> None:
    configured(has_index=False)

    assert alchemy_detector() is None
    assert detect_tokens(wallet).source == "rpc_fallback"
    assert index.queries == []


def test_an_answer_is_kept_for_its_time_and_a_transfer_ends_it(index: IndexServer, wallet: str) -> None:
    index.answer = lambda _query: Reply(page(owned(AGENTS, "1")))

    first, second = detect_tokens(wallet), detect_tokens(wallet)
    forget_wallet(wallet)
    third = detect_tokens(wallet)

    assert [first.is_cached, second.is_cached, third.is_cached] == [False, True, False]
    assert ids(first) == ids(second) == [(AGENTS, "1", 1)]
    assert (second.source, len(index.queries)) == ("alchemy", 2)


def test_other_collections_are_another_question(
    configured: Callable[..., None], index: IndexServer, wallet: str
) -> None:
    detect_tokens(wallet)
    configured(collections={f"{CHAIN}/erc721:{AGENTS}": {}})

    assert detect_tokens(wallet).is_cached is False


def test_a_hundred_who_ask_at_once_are_one_question(index: IndexServer, wallet: str) -> None:
    start, everybody_asks = threading.Barrier(100), threading.Event()

    def answer(_query: object) -> Reply:
        everybody_asks.wait(8)
        return Reply(page(owned(AGENTS, "1")), delay_seconds=0.5)

    def ask(_number: int) -> list[tuple[str, str, int]]:
        if start.wait(60) == 0:
            everybody_asks.set()
        return ids(detect_tokens(wallet))

    index.answer = answer

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(ask, range(100)))

    assert answers == [[(AGENTS, "1", 1)]] * 100
    assert len(index.queries) == 1


@pytest.mark.parametrize("has_redis", [True, False])
def test_nodes_answer_when_the_index_is_away(
    settings: LazySettings, index: IndexServer, wallet: str, mint: Callable[..., None], has_redis: bool
) -> None:
    if not has_redis:
        settings.LOA = {**settings.LOA, "REDIS_URL": ""}
    token_id = int(wallet, 16)
    mint(AGENTS, "mint", wallet_checksum(wallet), token_id)
    mint(PASSES, "mint", wallet_checksum(wallet), 5, 3)
    mint(PASSES, "mintBatch", wallet_checksum(wallet), [6, 7], [1, 2])
    index.answer = lambda _query: Reply(status=403)

    found = detect_tokens(wallet)

    assert found.source == "rpc_fallback"
    assert sorted(ids(found)) == sorted(
        [(AGENTS, str(token_id), 1), (PASSES, "5", 3), (PASSES, "6", 1), (PASSES, "7", 2)]
    )


def test_three_failures_open_the_circuit_and_the_index_is_left_alone(index: IndexServer, wallet: str) -> None:
    index.answer = lambda _query: Reply(status=403)

    for _ in range(5):
        detect_tokens(wallet, is_fresh=True)

    assert len(index.queries) == 3
    assert detection._breaker.state() is State.OPEN


def test_an_outage_of_both_is_not_owning_nothing(
    configured: Callable[..., None], settings: LazySettings, index: IndexServer, wallet: str
) -> None:
    gone = {**settings.LOA["NETWORKS"][CHAIN], "rpc_urls": ["http://127.0.0.1:9"]}
    settings.LOA = {**settings.LOA, "NETWORKS": {CHAIN: gone}}
    index.answer = lambda _query: Reply(status=403)

    with pytest.raises(DetectionUnavailable):
        detect_tokens(wallet)

    index.answer = lambda _query: Reply(page())
    assert detect_tokens(wallet).tokens == ()


def test_ownership_is_asked_of_the_contract_and_not_of_what_is_remembered(
    index: IndexServer, wallet: str, mint: Callable[..., None]
) -> None:
    token_id = str(int(wallet, 16))
    index.answer = lambda _query: Reply(page(owned(AGENTS, token_id)))
    assert ids(detect_tokens(wallet)) == [(AGENTS, token_id, 1)]
    collection = collection_of(AGENTS)

    with pytest.raises(NotTheOwner):
        require_owner(wallet, collection, token_id)
    mint(AGENTS, "mint", wallet_checksum(wallet), int(token_id))

    assert require_owner(wallet, collection, token_id) == wallet


def wallet_checksum(wallet: str) -> str:
    from web3 import Web3

    return str(Web3.to_checksum_address(wallet))
