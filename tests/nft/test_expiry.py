"""An onboarding that nobody goes on with ends, says so to its holder, and gives way to the next one."""

import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from nft.models import OnboardingSession
from nft.services import onboarding
from tests.nft.conftest import AGENTS
from tests.nft.holders import ONBOARDING, Holder

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _nodes_only(configured: Callable[..., None]) -> None:
    configured(has_index=False)


@pytest.fixture
def holder() -> Holder:
    return Holder()


def begin(holder: Holder) -> str:
    return str(holder.ask("post", f"{ONBOARDING}/start", {}).json()["session_id"])


def leave_alone(session_id: str, *, days: int) -> None:
    """As if nobody had come for so long."""
    then = timezone.now() - timedelta(days=days)
    OnboardingSession.objects.filter(pk=session_id).update(updated_at=then)


def test_one_that_was_left_alone_is_gone_for_its_holder_and_was_never_there_for_others(holder: Holder) -> None:
    session_id, other = begin(holder), Holder()
    leave_alone(session_id, days=8)

    answers = [
        holder.ask("get", f"{ONBOARDING}/{session_id}"),
        holder.ask("post", f"{ONBOARDING}/{session_id}/detect-nfts", {"version": 1}),
        holder.ask("post", f"{ONBOARDING}/{session_id}/complete", {"version": 1}),
    ]

    assert {(one.status_code, one.json()["code"]) for one in answers} == {(410, "onboarding_expired")}
    assert "start" in answers[0].json()["next_step"]
    assert other.ask("get", f"{ONBOARDING}/{session_id}").status_code == 404


def test_starting_again_is_a_new_one(holder: Holder) -> None:
    old = begin(holder)
    leave_alone(old, days=8)

    new = begin(holder)

    assert new != old
    assert begin(holder) == new
    assert holder.ask("get", f"{ONBOARDING}/{old}").status_code == 410
    assert holder.ask("get", f"{ONBOARDING}/{new}").json()["current_step"] == "nft_detect"


def test_whoever_comes_within_the_week_goes_on(holder: Holder) -> None:
    session_id = begin(holder)
    leave_alone(session_id, days=6)

    assert begin(holder) == session_id


def test_a_completed_one_never_ends(holder: Holder, mint: Callable[..., None]) -> None:
    token_id = secrets.randbits(250)
    mint(AGENTS, "mint", holder.wallet, token_id)
    state = holder.step(holder.ask("post", f"{ONBOARDING}/start", {}).json(), "detect-nfts").json()
    state = holder.step(state, "select-nft", collection=AGENTS, token_id=str(token_id)).json()
    state = holder.step(state, "personality", skip=True).json()
    state = holder.step(state, "credits", skip=True).json()
    assert holder.step(state, "complete").status_code == 200
    leave_alone(state["session_id"], days=400)

    onboarding.sweep()

    assert holder.ask("get", f"{ONBOARDING}/{state['session_id']}").json()["current_step"] == "completed"


def test_the_sweep_ends_what_was_left_alone_and_forgets_what_ended_long_ago(holder: Holder) -> None:
    alone, young, old = begin(holder), begin(Holder()), begin(Holder())
    leave_alone(alone, days=8)
    OnboardingSession.objects.filter(pk=old).update(expired_at=timezone.now() - timedelta(days=31))

    onboarding.sweep()

    rows = {row.pk: row.expired_at for row in OnboardingSession.objects.filter(pk__in=[alone, young, old])}
    assert set(rows) == {alone, young}
    assert rows[alone] is not None
    assert rows[young] is None
