"""What happens to an agent when its token changes hands: it goes with the token, and nobody keeps a foot in the door.

The new owner reads every version and writes from now on; the old one is asked of the chain at each write and fails.
An onboarding in which the old owner had chosen the token goes back to the choice. Who owns the token is asked of the
contract and not of whoever told of the transfer, so a false notice, the same one twice and a re-organised chain all
lead to what is true now.
"""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from nft.domain.errors import NotTheOwner
from nft.domain.onboarding import Step
from nft.models import OnboardingSession, Personality
from nft.selectors import personalities
from nft.services.agents import AgentToken
from nft.services.ownership import owner_of, require_owner
from nft.services.personalities import lock_token
from telemetry import names
from telemetry.logging import get_logger

log = get_logger(__name__)


def hand_over(token: AgentToken) -> bool:
    """Make what is kept about a token follow its owner of now; whether anything had to. Once is as good as often.

    Locks the token while it writes. Raises DetectionUnavailable when nobody can say who owns it; nothing is written.
    """
    sessions = list(_sessions_with(token))
    if not sessions and personalities.get(*token.key) is None:
        return False
    owner = owner_of(token.collection, token.token_id)
    outsiders = [session for session in sessions if not _may_act(session.wallet, token)]
    with transaction.atomic():
        lock_token(token)
        is_new = bool(_note_owner(token, owner))
        sent_back = [session for session in outsiders if _send_back(session)]
    if is_new or sent_back:
        log.info(
            names.PERSONALITY_HANDED_OVER,
            collection=token.collection.address,
            token_id=token.token_id,
            onboarding_count=len(sent_back),
        )
    return is_new or bool(sent_back)


def _sessions_with(token: AgentToken) -> list[OnboardingSession]:
    chain, collection, token_id = token.key
    chosen = OnboardingSession.objects.filter(chain=chain, collection=collection, token_id=token_id)
    return list(chosen.filter(completed_at=None, expired_at=None))


def _may_act(wallet: str, token: AgentToken) -> bool:
    try:
        require_owner(wallet, token.collection, token.token_id)
    except NotTheOwner:
        return False
    return True


def _note_owner(token: AgentToken, owner: str) -> int:
    chain, collection, token_id = token.key
    row = Personality.objects.filter(chain=chain, collection=collection, token_id=token_id)
    return row.exclude(handed_to=owner).update(handed_to=owner, handed_over_at=timezone.now())


def _send_back(session: OnboardingSession) -> int:
    """Back to the choice, unless its holder has changed it meanwhile: then the next write is refused anyway."""
    unchanged = OnboardingSession.objects.filter(pk=session.pk, version=session.version)
    return unchanged.update(
        step=Step.SELECT.value,
        chain="",
        collection="",
        token_id="",
        version=F("version") + 1,
        updated_at=timezone.now(),
    )
