"""Evidence for the gates about what holders are offered. Each probe does the real thing and undoes it."""

from django.db import transaction

from accounts.services.sessions import SignedIn
from nft.detectors.base import Budget
from nft.domain.onboarding import Step
from nft.domain.personality import Traits, default_name
from nft.domain.tokens import Collection, Standard
from nft.models import OnboardingSession, PersonalityVersion
from nft.selectors import personalities
from nft.services import onboarding
from nft.services import personalities as writing
from nft.services.agents import AgentToken, agent_token
from nft.services.known_collections import known_collections, rpc_detector
from telemetry.identifiers import new_id

NOBODY = "0x" + "00" * 20
PROBE = AgentToken(Collection("eip155:1", NOBODY), "0")


class NotWorking(RuntimeError):
    """Raised when what a probe wrote does not read as it was written, or the flow does not reach its end."""


def personality_crud() -> dict[str, object]:
    """A personality is created, read, changed and rolled back with its versions kept. Raises NotWorking."""
    with transaction.atomic():
        writing.put(PROBE, Traits(default_name("0")), wallet=NOBODY)
        writing.put(PROBE, Traits("Gate"), wallet=NOBODY)
        found = personalities.get(*PROBE.key)
        kept = PersonalityVersion.objects.filter(personality=found).count() if found else 0
        transaction.set_rollback(True)
    if found is None or (found.name, found.version, kept) != ("Gate", 2, 2):
        raise NotWorking("a personality does not read as it was written")
    if personalities.get(*PROBE.key) is not None:
        raise NotWorking("what the probe wrote is still there")
    return {"versions_kept": kept}


def onboarding_flow() -> dict[str, object]:
    """A wallet that holds a token of a known collection goes from detection to a living agent; all of it is undone.

    Raises NotWorking when no such wallet is found, and whatever a step raises.
    """
    collection, wallet, number = _a_holder()
    who = SignedIn(new_id("acc"), wallet, new_id("gate"), "eip155")
    token = agent_token(collection.address, str(number), chain=collection.chain)
    with transaction.atomic():
        session = onboarding.start(who)
        session = onboarding.detect(who, session.pk, version=session.version)
        session = onboarding.select(who, session.pk, token, version=session.version)
        session = onboarding.configure(who, session.pk, None, version=session.version)
        session = onboarding.settle_credit(who, session.pk, version=session.version, goes_without=True)
        session = onboarding.complete(who, session.pk, version=session.version)
        transaction.set_rollback(True)
    if session.step != Step.COMPLETED:
        raise NotWorking(f"the flow ended at the step {session.step}")
    completed = OnboardingSession.objects.exclude(completed_at=None).count()
    return {"collection": collection.address, "steps": session.version - 1, "completed_by_holders": completed}


def _a_holder() -> tuple[Collection, str, int]:
    nodes = rpc_detector()
    for collection in known_collections():
        if collection.standard is Standard.ERC721 and nodes.covers(collection.chain):
            held = nodes.latest_holder(collection, Budget())
            if held is not None:
                return collection, *held
    raise NotWorking("no token of a known collection was transferred lately, so nobody can be taken through")
