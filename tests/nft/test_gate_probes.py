"""Gate 2 asks the real thing: a personality written and read, a holder taken through, and nothing left behind."""

from collections.abc import Callable

import pytest
from django.conf import LazySettings

from nft.models import OnboardingSession, Personality
from nft.services import gate_probes
from tests.nft.conftest import AGENTS
from tests.nft.test_detection import wallet_checksum

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("configured")]


def test_a_personality_is_written_read_and_gone_again() -> None:
    before = Personality.objects.count()

    assert gate_probes.personality_crud() == {"versions_kept": 2}

    assert Personality.objects.count() == before


def test_a_holder_is_taken_to_the_end_and_nothing_is_left(
    configured: Callable[..., None], wallet: str, mint: Callable[..., None]
) -> None:
    configured(has_index=False)
    mint(AGENTS, "mint", wallet_checksum(wallet), int(wallet, 16))

    evidence = gate_probes.onboarding_flow()

    assert (evidence["collection"], evidence["steps"]) == (AGENTS, 5)
    assert not OnboardingSession.objects.filter(wallet=wallet).exists()


def test_without_collections_the_flow_is_not_said_to_work(settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "NFT_COLLECTIONS": {}}

    with pytest.raises(gate_probes.NotWorking, match="nobody can be taken through"):
        gate_probes.onboarding_flow()
