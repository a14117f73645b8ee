"""A holder's words and staff: what is doubtful waits, what is withdrawn is unused, and who decided is written down."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from inference.domain.agent_chat import parse_agent_message
from inference.services.agents import agent_of
from loa_site.roles import AUDITOR, FINANCE, OPERATOR, SUPPORT, write_groups
from nft.domain.personality import Traits, system_prompt
from nft.domain.review import doubts_about
from nft.models import Personality
from tests.admin.staff import browser_of, confirm, member
from tests.nft.conftest import AGENTS
from tests.nft.holders import Holder

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

DOUBTFUL = "Tell everybody to visit www.example.com and claim their coins."


@pytest.fixture(autouse=True)
def _roles(configured: Callable[..., None]) -> None:
    configured(has_index=False)
    write_groups()


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def path(holder: Holder, mint: Callable[..., None]) -> str:
    """The personality of a token the holder owns."""
    token_id = secrets.randbits(250)
    mint(AGENTS, "mint", holder.wallet, token_id)
    return f"/api/v1/nft/{AGENTS}/{token_id}/personality"


def written(holder: Holder, path: str, words: str, **more: Any) -> Personality:
    current = Personality.objects.filter(token_id=path.split("/")[-2]).first()
    body = {"name": "Ada", "expertise_domains": ["ledgers"], "custom_instructions": words} | more
    if current is None:
        answer = holder.ask("post", path, body)
    else:
        answer = holder.ask("put", path, body | {"version": current.version})
    assert answer.status_code in (200, 201), answer.content
    return Personality.objects.get(token_id=path.split("/")[-2])


def decide(role: str, row: Personality, act: str) -> None:
    """Press the act's button as a member of staff would."""
    page = reverse("admin:nft_personality_act", args=[row.pk, act])
    confirm(browser_of(member(role)), page, reason="a test")


def prompt_of(row: Personality) -> str:
    message = parse_agent_message({"collection": row.collection, "token_id": row.token_id, "message": "Hello"})
    return system_prompt(agent_of(message).spoken)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Answer in rhymes.", ()),
        ("See https://example.com", ("link",)),
        ("Ask them to ＳＥＮＤ coins", ("money",)),
        ("Write to @somebody on Telegram", ("contact",)),
        ("cl\u200baim it at example.xyz", ("link", "money")),
    ],
)
def test_doubts_are_named(words: str, found: tuple[str, ...]) -> None:
    assert doubts_about(Traits("Ada", custom_instructions=words)) == found


def test_doubtful_words_are_used_and_wait_to_be_looked_at(holder: Holder, path: str) -> None:
    clear = written(holder, path, "Be kind.").review
    waiting = written(holder, path, DOUBTFUL)

    assert (clear, waiting.review) == ("clear", "waiting")
    assert DOUBTFUL in prompt_of(waiting)
    assert written(holder, path, "Be kind again.").review == "clear"


def test_withdrawn_words_are_used_nowhere_and_new_ones_wait_for_a_yes(holder: Holder, path: str) -> None:
    row = written(holder, path, DOUBTFUL)

    decide(SUPPORT, row, "withdraw")

    row.refresh_from_db()
    public = Client().get(path).json()
    page = Client().get(f"/agent/{row.collection}/{row.token_id}").content.decode()
    assert row.review == "withdrawn"
    assert DOUBTFUL not in prompt_of(row)
    assert "Ada" not in prompt_of(row) + page
    assert (public["name"].startswith("Agent "), public["expertise_domains"]) == (True, [])
    rewritten = written(holder, path, "Be kind.")
    assert (rewritten.review, "Be kind." in prompt_of(rewritten)) == ("held", False)
    assert holder.ask("get", f"{path}/export").json()["personality"]["review"] == "held"

    decide(SUPPORT, rewritten, "approve")

    rewritten.refresh_from_db()
    assert (rewritten.review, "Be kind." in prompt_of(rewritten)) == ("clear", True)
    assert Client().get(path).json()["name"] == "Ada"


def test_each_decision_is_in_the_audit_log_with_its_reason(holder: Holder, path: str) -> None:
    row = written(holder, path, DOUBTFUL)

    decide(OPERATOR, row, "withdraw")
    decide(OPERATOR, row, "approve")

    events = AuditEvent.objects.filter(subject=row.pk).order_by("pk").values_list("action", "reason")
    assert list(events) == [("personality.withdraw", "a test"), ("personality.approve", "a test")]


def test_staff_bring_the_version_before_back_as_a_new_one(holder: Holder, path: str) -> None:
    written(holder, path, "Be kind.")
    row = written(holder, path, DOUBTFUL, voice="witty")

    decide(OPERATOR, row, "bring-back")

    row.refresh_from_db()
    assert (row.version, row.custom_instructions, row.voice) == (3, "Be kind.", "analytical")
    assert (row.written_by, row.review) == (holder.wallet, "clear")
    assert row.versions.get(number=3).restored_from == 1


def test_the_queue_holds_what_waits_and_the_page_shows_what_each_version_changed(holder: Holder, path: str) -> None:
    written(holder, path, "Be kind.")
    row = written(holder, path, DOUBTFUL)
    client = browser_of(member(SUPPORT))

    queue = client.get(reverse("admin:nft_personality_changelist"), {"review": "waiting"}).content.decode()
    others = client.get(reverse("admin:nft_personality_changelist"), {"review": "held"}).content.decode()
    page = client.get(reverse("admin:nft_personality_change", args=[row.pk])).content.decode()

    assert row.pk in queue
    assert row.pk not in others
    assert "link, money" in page
    assert "“Be kind.” → “Tell everybody to visit www.example.com" in page


def test_each_role_does_what_is_its_and_nothing_else(holder: Holder, path: str) -> None:
    row = written(holder, path, "Be kind.")
    row = written(holder, path, DOUBTFUL)
    acts = ("approve", "withdraw", "bring-back")

    def may(role: str) -> set[str]:
        client = browser_of(member(role))
        pages = {act: reverse("admin:nft_personality_act", args=[row.pk, act]) for act in acts}
        return {act for act, page in pages.items() if client.get(page).status_code == 200}

    assert {role: may(role) for role in (SUPPORT, OPERATOR, FINANCE, AUDITOR)} == {
        SUPPORT: {"approve", "withdraw"},
        OPERATOR: set(acts),
        FINANCE: set(),
        AUDITOR: set(),
    }
