"""Transfers read from the chain: what moved is asked anew, agents follow, and a re-organised chain is read again."""

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from nft.domain.personality import Traits
from nft.models import OnboardingSession, Personality, TransferCursor
from nft.services import personalities, transfer_polling
from nft.services.agents import agent_token
from nft.services.detection import detect_tokens
from nft.tasks import poll_transfers
from tests.nft.conftest import AGENTS, CHAIN, PASSES
from tests.nft.holders import ONBOARDING, Holder
from tests.x402.chain_tools import LocalChain

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

Send = Callable[..., None]


@pytest.fixture(autouse=True)
def _watched(configured: Callable[..., None]) -> None:
    """Both collections, looked at for the first time: what other tests moved is behind the cursors."""
    configured(has_index=False)
    TransferCursor.objects.filter(collection__in=(AGENTS, PASSES)).delete()


@pytest.fixture
def seller() -> Holder:
    return Holder()


@pytest.fixture
def buyer() -> Holder:
    return Holder()


@pytest.fixture
def owned(seller: Holder, mint: Send) -> str:
    token_id = secrets.randbits(250)
    mint(AGENTS, "mint", seller.wallet, token_id)
    return str(token_id)


def polled() -> dict[str, transfer_polling.Polled]:
    done, failed = transfer_polling.poll()
    assert failed == []
    return {one.collection: one for one in done}


def ids(wallet: str) -> set[str]:
    return {token.token_id for token in detect_tokens(wallet).tokens if token.collection == AGENTS}


def sell(send_to: Send, seller: Holder, buyer: Holder, token_id: str) -> None:
    send_to(seller, AGENTS, "transferFrom", seller.wallet, buyer.wallet, int(token_id))


def test_the_first_look_begins_at_the_head_and_the_next_sees_what_moved(
    send_to: Send, seller: Holder, buyer: Holder, owned: str
) -> None:
    first = polled()
    before = [ids(seller.wallet), ids(buyer.wallet)]
    sell(send_to, seller, buyer, owned)
    stale = ids(seller.wallet)

    second, third = polled(), polled()

    assert before == [{owned}, set()]
    assert stale == {owned}
    assert [ids(seller.wallet), ids(buyer.wallet)] == [set(), {owned}]
    assert [one[AGENTS].transfers for one in (first, second, third)] == [0, 1, 0]
    assert second[AGENTS].from_block == first[AGENTS].from_block


def test_passes_that_move_end_what_is_remembered_of_both_wallets(mint: Send, buyer: Holder) -> None:
    polled()
    assert detect_tokens(buyer.wallet).tokens == ()
    mint(PASSES, "mint", buyer.wallet, 5, 2)
    mint(PASSES, "mintBatch", buyer.wallet, [6, 7], [1, 1])

    assert polled()[PASSES].transfers == 2
    assert {token.token_id for token in detect_tokens(buyer.wallet).tokens} == {"5", "6", "7"}


def test_an_agent_goes_with_its_token_and_its_last_owner_is_sent_back_to_the_choice(
    send_to: Send, seller: Holder, buyer: Holder, owned: str
) -> None:
    personalities.create(agent_token(AGENTS, owned), Traits("Ada"), wallet=seller.wallet)
    state = seller.step(seller.ask("post", f"{ONBOARDING}/start", {}).json(), "detect-nfts").json()
    state = seller.step(state, "select-nft", collection=AGENTS, token_id=owned).json()
    polled()
    sell(send_to, seller, buyer, owned)

    polled()

    row = Personality.objects.get(token_id=owned)
    assert (row.handed_to, row.name, row.version) == (buyer.wallet, "Ada", 1)
    assert row.handed_over_at is not None
    session = OnboardingSession.objects.get(pk=state["session_id"])
    assert (session.step, session.token_id, session.version) == ("nft_select", "", state["version"] + 1)
    late = seller.step(state, "personality", voice="sage")
    assert (late.status_code, late.json()["code"]) == (409, "version_conflict")
    versions = f"/api/v1/nft/{AGENTS}/{owned}/personality/versions"
    assert [buyer.ask("get", versions).status_code, seller.ask("get", versions).status_code] == [200, 403]


def test_a_sale_that_a_reorganisation_undoes_is_undone_here(
    send_to: Send, seller: Holder, buyer: Holder, owned: str, chain: LocalChain
) -> None:
    personalities.create(agent_token(AGENTS, owned), Traits("Ada"), wallet=seller.wallet)
    polled()
    before = chain.call("evm_snapshot")
    sell(send_to, seller, buyer, owned)
    chain.mine(2)
    polled()
    sold = [ids(seller.wallet), ids(buyer.wallet), Personality.objects.get(token_id=owned).handed_to]

    assert chain.call("evm_revert", before) is True
    chain.call("evm_increaseTime", 7)
    chain.mine(5)
    again = polled()[AGENTS]

    assert sold == [set(), {owned}, buyer.wallet]
    assert again.is_reorganised
    assert [ids(seller.wallet), ids(buyer.wallet)] == [{owned}, set()]
    assert Personality.objects.get(token_id=owned).handed_to == seller.wallet
    assert polled()[AGENTS].is_reorganised is False


def test_a_chain_that_became_shorter_is_read_again(
    send_to: Send, seller: Holder, buyer: Holder, owned: str, chain: LocalChain
) -> None:
    polled()
    before = chain.call("evm_snapshot")
    sell(send_to, seller, buyer, owned)
    chain.mine(3)
    polled()

    assert chain.call("evm_revert", before) is True

    assert polled()[AGENTS].is_reorganised
    assert ids(seller.wallet) == {owned}


def test_a_node_that_is_away_moves_no_cursor(
    send_to: Send, seller: Holder, buyer: Holder, owned: str, settings: Any
) -> None:
    polled()
    cursor = TransferCursor.objects.get(collection=AGENTS)
    sell(send_to, seller, buyer, owned)
    here = settings.LOA
    gone = here["NETWORKS"][CHAIN] | {"rpc_urls": ["http://127.0.0.1:9"]}
    settings.LOA = here | {"NETWORKS": {CHAIN: gone}, "NFT_CHAINS": {}}

    done, failed = transfer_polling.poll()
    task = poll_transfers()
    with pytest.raises(CommandError, match="Not to be read just now"):
        call_command("poll_transfers")

    assert (done, sorted(failed), task) == ([], sorted([AGENTS, PASSES]), {"transfers": 0, "failed": 2})
    assert TransferCursor.objects.get(collection=AGENTS).next_block == cursor.next_block
    settings.LOA = here
    assert polled()[AGENTS].transfers == 1


def test_the_command_says_what_it_read(
    send_to: Send, seller: Holder, buyer: Holder, owned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    polled()
    sell(send_to, seller, buyer, owned)

    call_command("poll_transfers", "--json")

    told = json.loads(capsys.readouterr().out)
    assert {one["collection"]: one["transfers"] for one in told["collections"]} == {AGENTS: 1, PASSES: 0}
    assert told["failed"] == []
