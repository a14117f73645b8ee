"""The wizard: wallet, detect, select, personality, credits, live. Resumable; any earlier step may be done again.

Every change names the version it was made from, so that of two tabs one is told to read again. Ownership is asked of
the chain at each write and outside the transaction, which then changes the session and the personality together.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services.sessions import SignedIn
from nft.domain.errors import (
    CreditMissing,
    NftError,
    OnboardingExpired,
    OnboardingNotFound,
    VersionConflict,
    WrongStep,
)
from nft.domain.onboarding import Step, after, done_before, index_of
from nft.domain.personality import Traits, default_name
from nft.domain.tokens import OwnedToken
from nft.models import OnboardingSession, Personality
from nft.selectors import credit, personalities
from nft.services import personalities as writing
from nft.services.agents import AgentToken, agent_token, require_still_owner
from nft.services.ownership import require_owner, tokens_within_reach
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

TOKENS_KEPT = 500  # of a scan, in the session's row
EXPIRED_KEPT = timedelta(days=30)  # so long whoever comes back hears that it ended, and not that it never was

log = get_logger(__name__)


def start(who: SignedIn) -> OnboardingSession:
    """The wallet's unfinished onboarding, or a new one. Two starts at once are one session.

    One that nobody went on with for `ONBOARDING_SECONDS` is ended, and the next one begins.
    """
    own = OnboardingSession.objects.filter(account_id=who.account_id, wallet=who.wallet)
    _expire(own)
    unfinished = own.filter(completed_at=None, expired_at=None)
    existing = unfinished.first()
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            return OnboardingSession.objects.create(account_id=who.account_id, wallet=who.wallet)
    except IntegrityError:
        racing = unfinished.first()
        if racing is None:
            raise
        return racing


def session_of(who: SignedIn, session_id: str) -> OnboardingSession:
    """The caller's own session. Raises OnboardingNotFound, also for another wallet's; OnboardingExpired."""
    if "\0" in session_id:
        raise OnboardingNotFound("There is no such onboarding.")
    found = OnboardingSession.objects.filter(pk=session_id, account_id=who.account_id, wallet=who.wallet).first()
    if found is None:
        raise OnboardingNotFound("There is no such onboarding.")
    if found.expired_at is not None or (found.completed_at is None and found.updated_at <= _oldest_alive()):
        raise OnboardingExpired("Nobody went on with this onboarding for too long, so it has ended.")
    return found


def sweep() -> dict[str, int]:
    """End what nobody went on with, and forget what ended long ago. May run twice at once."""
    gone, _ = OnboardingSession.objects.filter(expired_at__lt=timezone.now() - EXPIRED_KEPT).delete()
    return {"expired": _expire(OnboardingSession.objects.all()), "forgotten": gone}


def detect(who: SignedIn, session_id: str, *, version: int, is_fresh: bool = False) -> OnboardingSession:
    """Look for the tokens of the wallet and of its vaults, and keep what was found.

    Raises DetectionUnavailable; the session is as before.
    """
    session = _at(who, session_id, version=version)
    step = after(Step.DETECT, current=session.step)
    found = tokens_within_reach(who.wallet, is_fresh=is_fresh)
    session.found_tokens = [asdict(token) for token in found[:TOKENS_KEPT]]
    return _move(session, step)


def select(who: SignedIn, session_id: str, token: AgentToken, *, version: int) -> OnboardingSession:
    """Choose a token that the wallet owns now, or may act for, by the chain.

    Raises NotTheOwner, DetectionUnavailable.
    """
    session = _at(who, session_id, version=version)
    step = after(Step.SELECT, current=session.step)
    require_owner(who.wallet, token.collection, token.token_id)
    session.chain, session.collection, session.token_id = token.key
    return _move(session, step)


def configure(
    who: SignedIn, session_id: str, make_traits: Callable[[str], Traits] | None, *, version: int
) -> OnboardingSession:
    """Give the chosen token's agent its personality; without traits, the one it has or a default one.

    `make_traits` gets the name an agent has by default. Raises OwnershipChanged, VersionConflict, InvalidPersonality.
    """
    session = _at(who, session_id, version=version)
    step = after(Step.PERSONALITY, current=session.step)
    token = _chosen(session)
    traits = make_traits(_name_so_far(token)) if make_traits is not None else None
    require_still_owner(who.wallet, token)
    with transaction.atomic():
        moved = _move(session, step)
        if traits is None:
            writing.put_default(token, wallet=who.wallet)
        else:
            writing.put(token, traits, wallet=who.wallet)
    return moved


def settle_credit(who: SignedIn, session_id: str, *, version: int, goes_without: bool = False) -> OnboardingSession:
    """Go on with the credit that the ledger holds, or without any, paying each call. Raises CreditMissing.

    Nothing is written about credit: whoever asks later asks the ledger again.
    """
    session = _at(who, session_id, version=version)
    step = after(Step.CREDITS, current=session.step)
    if not goes_without and not credit.credit_of(who.account_id, who.wallet).is_there:
        raise CreditMissing("There is no credit for this wallet. Buy some, or go on and pay each call.")
    return _move(session, step)


def complete(who: SignedIn, session_id: str, *, version: int) -> OnboardingSession:
    """Bring the agent to life: the token is still owned and has a personality. Done twice is done once.

    Raises OwnershipChanged, WrongStep, VersionConflict.
    """
    session = session_of(who, session_id)
    if session.step == Step.COMPLETED:
        return session
    session = _at(who, session_id, version=version)
    step = after(Step.LIVE, current=session.step)
    token = _chosen(session)
    if personality_of(session) is None:
        raise WrongStep(f"The next step is {Step.PERSONALITY}.")
    require_still_owner(who.wallet, token)
    session.completed_at = timezone.now()
    done = _move(session, step)
    log.info(names.ONBOARDING_COMPLETED, onboarding_id=done.pk, collection=done.collection, token_id=done.token_id)
    return done


def personality_of(session: OnboardingSession) -> Personality | None:
    """The personality of the chosen token, or None: nothing chosen, or none written."""
    if not session.token_id:
        return None
    return personalities.get(session.chain, session.collection, session.token_id)


def state_of(session: OnboardingSession) -> dict[str, Any]:
    """Everything about a session that its holder may see, read from where it is true."""
    chosen = {"chain": session.chain, "collection": session.collection, "token_id": session.token_id}
    return {
        "session_id": session.pk,
        "version": session.version,
        "wallet_address": session.wallet,
        "current_step": session.step,
        "step_index": index_of(session.step),
        "completed_steps": done_before(session.step),
        "nfts": [OwnedToken(**token) for token in session.found_tokens],
        "selected_nft": chosen if session.token_id else None,
        "personality_configured": personality_of(session) is not None,
        "credits_purchased": credit.credit_of(session.account_id, session.wallet).is_there,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def _at(who: SignedIn, session_id: str, *, version: int) -> OnboardingSession:
    session = session_of(who, session_id)
    if session.version != version:
        raise _conflict()
    return session


def _move(session: OnboardingSession, step: Step) -> OnboardingSession:
    """Write the session as it is now, at its next step, unless somebody wrote it meanwhile. Locks its row."""
    expected = session.version
    session.step, session.version = step.value, expected + 1
    fields = ("step", "version", "found_tokens", "chain", "collection", "token_id", "completed_at")
    changed = OnboardingSession.objects.filter(pk=session.pk, version=expected, expired_at=None).update(
        **{name: getattr(session, name) for name in fields}, updated_at=timezone.now()
    )
    if not changed:
        raise _conflict()
    session.refresh_from_db()
    return session


def _oldest_alive() -> datetime:
    """Whoever was changed last at this moment or before has been left alone for too long."""
    return timezone.now() - timedelta(seconds=loa("ONBOARDING_SECONDS"))


def _expire(sessions: QuerySet[OnboardingSession]) -> int:
    """End those that were left alone. `_move` writes no ended one, so the form of an old tab changes nothing."""
    alone = sessions.filter(completed_at=None, expired_at=None, updated_at__lte=_oldest_alive())
    ended = alone.update(expired_at=timezone.now())
    if ended:
        log.info(names.ONBOARDINGS_EXPIRED, onboarding_count=ended)
    return ended


def _chosen(session: OnboardingSession) -> AgentToken:
    if not session.token_id:
        raise WrongStep(f"The next step is {Step.SELECT}.")
    return agent_token(session.collection, session.token_id, chain=session.chain)


def _name_so_far(token: AgentToken) -> str:
    existing = personalities.get(*token.key)
    return existing.name if existing is not None else default_name(token.token_id)


def _conflict() -> NftError:
    return VersionConflict("The onboarding was changed elsewhere. Read it again and go on from there.")
