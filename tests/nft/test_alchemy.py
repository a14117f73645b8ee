"""The indexer's detector against recorded answers of its API v3: what is asked, and what is made of the answers."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from nft.detectors.alchemy import AlchemyNFTDetector
from nft.detectors.base import Budget
from nft.domain.errors import DetectorFailed
from nft.domain.tokens import Collection
from tests.nft.conftest import CHAIN
from tests.nft.index_server import KEY, IndexServer, Reply, owned, page

FIRST, SECOND = "0x" + "11" * 20, "0x" + "22" * 20
KNOWN = (Collection(CHAIN, FIRST), Collection(CHAIN, SECOND))


@pytest.fixture
def detector(index: IndexServer, configured: Callable[..., None]) -> AlchemyNFTDetector:
    return AlchemyNFTDetector(KEY, base_urls={CHAIN: index.url})


def found(
    detector: AlchemyNFTDetector, wallet: str, known: Any = KNOWN, seconds: float = 60.0
) -> list[tuple[str, str]]:
    return [(token.collection, token.token_id) for token in detector.tokens_of(wallet, known, Budget(seconds))]


def test_one_call_names_the_wallet_and_the_known_collections(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str
) -> None:
    index.answer = lambda _query: Reply(page(owned(FIRST, "7"), owned(SECOND, "8")))

    assert found(detector, wallet) == [(FIRST, "7"), (SECOND, "8")]

    [query] = index.queries
    assert (query["owner"], query["contractAddresses[]"]) == ([wallet], [FIRST, SECOND])
    assert index.paths == [f"/nft/v3/{KEY}/getNFTsForOwner"]


def test_three_pages_are_three_calls(detector: AlchemyNFTDetector, index: IndexServer, wallet: str) -> None:
    def answer(query: dict[str, list[str]]) -> Reply:
        number = int(query.get("pageKey", ["a&=0"])[0][-1])
        return Reply(page(owned(FIRST, str(number)), page_key=f"a&={number + 1}" if number < 2 else None))

    index.answer = answer

    assert found(detector, wallet) == [(FIRST, "0"), (FIRST, "1"), (FIRST, "2")]
    assert [query.get("pageKey") for query in index.queries] == [None, ["a&=1"], ["a&=2"]]


def test_a_hundred_collections_are_three_calls_of_45_at_most(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str
) -> None:
    known = [Collection(CHAIN, f"0x{number:040x}") for number in range(1, 101)]

    assert found(detector, wallet, known) == []

    assert [len(query["contractAddresses[]"]) for query in index.queries] == [45, 45, 10]


def test_spam_strangers_and_empty_balances_are_left_out(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str
) -> None:
    index.answer = lambda _query: Reply(
        page(
            owned(FIRST, "1", spam=True),
            owned("0x" + "99" * 20, "2"),
            owned(FIRST, "3", balance="0"),
            owned(FIRST, "4"),
        )
    )

    assert found(detector, wallet) == [(FIRST, "4")]


def test_names_balances_and_ids_are_read_as_version_3_writes_them(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str
) -> None:
    huge = str(2**256 - 1)
    index.answer = lambda _query: Reply(
        page(
            owned(FIRST.upper().replace("0X", "0x"), "0x1f", name="Agent Smith"),
            owned(SECOND, huge, balance="12", tokenType="ERC1155"),
        )
    )

    first, second = detector.tokens_of(wallet, KNOWN, Budget())

    assert (first.collection, first.token_id, first.name) == (FIRST, "31", "Agent Smith")
    assert (second.token_id, second.balance, second.name) == (huge, 12, f"Token #{huge}")


def test_a_limit_is_waited_for_and_asked_again(detector: AlchemyNFTDetector, index: IndexServer, wallet: str) -> None:
    index.answer = lambda _query: (
        Reply(status=429, headers={"Retry-After": "0"}) if len(index.queries) < 3 else Reply(page(owned(FIRST, "1")))
    )

    assert found(detector, wallet) == [(FIRST, "1")]
    assert len(index.queries) == 3


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500, headers={"Retry-After": "0"}),
        Reply(status=403),
        Reply(body=b"<html>"),
        Reply([]),
        Reply({"ownedNfts": "none"}),
        Reply({"ownedNfts": [{"tokenId": "1"}]}),
        Reply(page(owned(FIRST, "abc"))),
        Reply(page(owned(FIRST, str(2**256)))),
        Reply(page(owned(FIRST, "1"), page_key="round")),
    ],
    ids=["down", "forbidden", "html", "list", "no list", "no contract", "no number", "too large", "pages without end"],
)
def test_what_cannot_be_read_is_a_failure_and_never_a_shorter_list(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str, reply: Reply
) -> None:
    index.answer = lambda _query: reply

    with pytest.raises(DetectorFailed) as failure:
        found(detector, wallet)

    assert KEY not in str(failure.value)
    assert failure.value.__cause__ is None or KEY not in str(failure.value.__cause__)


def test_a_slow_index_costs_no_more_than_the_time_given(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str
) -> None:
    index.answer = lambda _query: Reply(page(), delay_seconds=60)
    began = time.monotonic()

    with pytest.raises(DetectorFailed):
        found(detector, wallet, seconds=0.4)

    assert time.monotonic() - began < 30, "the index had not answered yet"


def test_the_key_is_in_no_log_line(
    detector: AlchemyNFTDetector, index: IndexServer, wallet: str, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    index.answer = lambda _query: Reply(status=403)

    with pytest.raises(DetectorFailed):
        found(detector, wallet)
    index.stop()
    with pytest.raises(DetectorFailed):
        found(detector, wallet)

    assert KEY not in caplog.text + "".join(capfd.readouterr())
