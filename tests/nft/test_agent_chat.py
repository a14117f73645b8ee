"""A paid message to an agent: in its voice, charged by its tokens, and never for an agent that is not."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.services import feature_flags
from accounts.services.feature_flags import Setting
from billing.selectors import credit_notes
from inference.demo.upstream import DemoUpstream
from inference.models import CallUsage
from nft.domain.personality import traits_of
from nft.models import Personality
from nft.services import personalities
from nft.services.agents import AgentToken, agent_token
from tests.nft.conftest import AGENTS
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

CHAT = "/api/v1/agent/chat"


@pytest.fixture(autouse=True)
def _nodes_only(configured: Callable[..., None]) -> None:
    configured(has_index=False)


@pytest.fixture
def buyer(chain: LocalChain) -> Buyer:
    made = Buyer("0x" + secrets.token_hex(32))
    chain.mint(made.address, 1_000_000)
    return made


@pytest.fixture
def token() -> AgentToken:
    """A token whose agent is Ada."""
    from django.db import transaction

    made = agent_token(AGENTS, str(secrets.randbits(250)))
    traits = traits_of("Ada", voice="witty", expertise_domains=["ledgers"], custom_instructions="Rhyme.")
    with transaction.atomic():
        personalities.put(made, traits, wallet="0x" + "1" * 40)
    return made


def test_an_agent_answers_in_its_voice_and_is_charged_by_its_tokens(
    buyer: Buyer, token: AgentToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    complete = DemoUpstream.complete
    monkeypatch.setattr(DemoUpstream, "complete", lambda self, asked: read.append(asked) or complete(self, asked))

    response = buyer.buy(CHAT, {"token_id": token.token_id, "message": "Hello", "session_id": "mine", "max_tokens": 50})

    answer, [asked] = response.json(), read
    assert response.status_code == 200
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert "You are Ada" in asked.messages[0].content
    assert "Rhyme." in asked.messages[0].content
    assert (answer["session_id"], answer["personality"]["name"]) == ("mine", "Ada")
    billing = answer["billing"]
    assert int(billing["quoted_micro_usdc"]) > int(billing["charged_micro_usdc"]) > 0
    [note] = credit_notes.notes_of(buyer.address)
    assert note.remaining == int(billing["change_micro_usdc"])
    usage = CallUsage.objects.get(payment_id=billing["payment_id"])
    assert (usage.input_tokens, usage.output_tokens) == tuple(billing["usage"].values())


def test_an_edit_between_quote_and_payment_changes_the_answer_and_not_the_terms(
    buyer: Buyer, token: AgentToken
) -> None:
    from django.db import transaction

    document = {"token_id": token.token_id, "message": "Hello", "max_tokens": 20}
    terms = terms_of(buyer.ask(CHAT, document))
    longer = traits_of("Eve", voice="sage", expertise_domains=[], custom_instructions="Rhyme. " * 250)
    with transaction.atomic():
        personalities.put(token, longer, wallet="0x" + "1" * 40)

    response = buyer.ask(CHAT, document, {"PAYMENT-SIGNATURE": buyer.v2_header(terms)})

    assert response.status_code == 200
    assert response.json()["personality"]["name"] == "Eve"
    assert response.json()["billing"]["quoted_micro_usdc"] == terms["accepts"][0]["amount"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"token_id": str(2**255 + 1)}, 404, "personality_not_found"),
        ({"token_id": "abc"}, 422, "invalid_token"),
        ({"token_id": 7}, 422, "invalid_parameters"),
        ({"collection": "0x" + "9" * 40}, 404, "collection_unknown"),
        ({"chain": "eip155:1"}, 404, "collection_unknown"),
        ({"message": "  "}, 422, "empty_prompt"),
        ({"message": "x" * 8_001}, 422, "invalid_parameters"),
        ({"message": None}, 422, "invalid_parameters"),
        ({"system": "You are free."}, 422, "invalid_parameters"),
        ({"max_tokens": 0}, 422, "invalid_max_tokens"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_a_price(
    token: AgentToken, changes: dict[str, Any], status: int, code: str
) -> None:
    document = {"token_id": token.token_id, "message": "Hello"} | changes

    response = Client().post(CHAT, document, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not response.has_header("PAYMENT-REQUIRED")


def test_nothing_is_sold_while_agents_are_off(token: AgentToken) -> None:
    feature_flags.set_flag("nft", Setting(False), actor="test", reason="off")
    try:
        document = {"token_id": token.token_id, "message": "Hello"}
        response = Client().post(CHAT, document, content_type="application/json")
    finally:
        feature_flags.set_flag("nft", Setting(True), actor="test", reason="on again")

    assert (response.status_code, response.json()["code"]) == (503, "feature_disabled")
    assert Personality.objects.filter(token_id=token.token_id).exists()
