"""A wallet that the owner of a token lets act for it (delegate.xyz): asked of the registry at each write."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from nft.models import Personality
from tests.nft.conftest import AGENTS, DELEGATES
from tests.nft.holders import ONBOARDING, Holder
from tests.x402.chain_tools import LocalChain

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

NO_RIGHTS, SOME_RIGHTS = bytes(32), b"airdrops".ljust(32, b"\0")
Send = Callable[..., None]


@pytest.fixture(autouse=True)
def _nodes_only(configured: Callable[..., None]) -> None:
    configured(has_index=False)


@pytest.fixture
def vault() -> Holder:
    """Owns the token and signs nothing here but its delegation."""
    return Holder(is_listed=False)


@pytest.fixture
def hot() -> Holder:
    return Holder()


@pytest.fixture
def kept(vault: Holder, mint: Send) -> str:
    token_id = secrets.randbits(250)
    mint(AGENTS, "mint", vault.wallet, token_id)
    return str(token_id)


def delegate(send_to: Send, vault: Holder, hot: Holder, *, kind: str, token_id: str, **more: Any) -> None:
    rights, enable = more.get("rights", NO_RIGHTS), more.get("enable", True)
    scope: dict[str, tuple[Any, ...]] = {
        "delegateAll": (),
        "delegateContract": (AGENTS,),
        "delegateERC721": (AGENTS, int(token_id)),
    }
    send_to(vault, DELEGATES, kind, hot.wallet, *scope[kind], rights, enable)


def scanned(hot: Holder) -> Any:
    return hot.step(hot.ask("post", f"{ONBOARDING}/start", {}).json(), "detect-nfts").json()


def choose(hot: Holder, state: Any, token_id: str) -> Any:
    return hot.step(state, "select-nft", collection=AGENTS, token_id=token_id)


@pytest.mark.parametrize("kind", ["delegateAll", "delegateContract", "delegateERC721"])
def test_a_delegate_gives_the_vaults_token_its_voice(
    send_to: Send, vault: Holder, hot: Holder, kept: str, kind: str
) -> None:
    delegate(send_to, vault, hot, kind=kind, token_id=kept)

    state = scanned(hot)
    found = [(token["token_id"], token["vault"]) for token in state["nfts"]]
    chosen = choose(hot, state, kept)
    written = hot.step(chosen.json(), "personality", name="Ada", voice="sage")
    lived = hot.step(hot.step(written.json(), "credits", skip=True).json(), "complete")

    assert found == [(kept, vault.wallet)]
    assert [chosen.status_code, written.status_code, lived.status_code] == [200, 200, 200]
    assert Personality.objects.get(token_id=kept).written_by == hot.wallet


def test_a_delegate_changes_the_agent_by_the_api_too(send_to: Send, vault: Holder, hot: Holder, kept: str) -> None:
    path = f"/api/v1/nft/{AGENTS}/{kept}/personality"
    before = hot.ask("post", path, {"name": "Ada"})
    delegate(send_to, vault, hot, kind="delegateAll", token_id=kept)

    after = hot.ask("post", path, {"name": "Ada"})

    assert (before.status_code, before.json()["code"]) == (403, "ownership_changed")
    assert after.status_code == 201


@pytest.mark.parametrize("more", [{"rights": SOME_RIGHTS}, {"enable": False}], ids=["named rights only", "never"])
def test_less_than_a_full_delegation_is_none(
    send_to: Send, vault: Holder, hot: Holder, kept: str, more: dict[str, Any]
) -> None:
    delegate(send_to, vault, hot, kind="delegateAll", token_id=kept, **more)

    state = scanned(hot)
    refused = choose(hot, state, kept)

    assert state["nfts"] == []
    assert (refused.status_code, refused.json()["code"]) == (403, "not_the_owner")


def test_a_delegation_of_one_token_reaches_no_other(
    send_to: Send, vault: Holder, hot: Holder, kept: str, mint: Send
) -> None:
    other = secrets.randbits(250)
    mint(AGENTS, "mint", vault.wallet, other)
    delegate(send_to, vault, hot, kind="delegateERC721", token_id=kept)

    refused = choose(hot, scanned(hot), str(other))

    assert (refused.status_code, refused.json()["code"]) == (403, "not_the_owner")


def test_a_delegation_that_is_taken_back_ends_before_the_next_write(
    send_to: Send, vault: Holder, hot: Holder, kept: str
) -> None:
    delegate(send_to, vault, hot, kind="delegateAll", token_id=kept)
    chosen = choose(hot, scanned(hot), kept).json()
    delegate(send_to, vault, hot, kind="delegateAll", token_id=kept, enable=False)

    refused = hot.step(chosen, "personality", voice="sage")

    assert (refused.status_code, refused.json()["code"]) == (403, "ownership_changed")
    assert not Personality.objects.filter(token_id=kept).exists()


def test_a_delegation_ends_with_the_ownership_of_whoever_gave_it(
    send_to: Send, vault: Holder, hot: Holder, kept: str
) -> None:
    delegate(send_to, vault, hot, kind="delegateAll", token_id=kept)
    chosen = choose(hot, scanned(hot), kept).json()
    send_to(vault, AGENTS, "transferFrom", vault.wallet, "0x" + "7" * 40, int(kept))

    refused = hot.step(chosen, "personality", voice="sage")

    assert (refused.status_code, refused.json()["code"]) == (403, "ownership_changed")


def test_on_a_chain_without_a_registry_nobody_is_a_delegate(
    hot: Holder, vault: Holder, kept: str, chain: LocalChain, send_to: Send
) -> None:
    delegate(send_to, vault, hot, kind="delegateAll", token_id=kept)
    code = chain.call("eth_getCode", DELEGATES, "latest")
    chain.call("anvil_setCode", DELEGATES, "0x")
    try:
        state = scanned(hot)
        refused = choose(hot, state, kept)
    finally:
        chain.call("anvil_setCode", DELEGATES, code)

    assert state["nfts"] == []
    assert (refused.status_code, refused.json()["code"]) == (403, "not_the_owner")
