"""Sessions of signed-in wallets: a short bearer token and a longer refresh token, 256 random bits each, stored hashed.

A refresh replaces the pair. A refresh token that comes a second time has been stolen from someone, so all sessions of
its family end. A secret of 256 bits needs no slow hash.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.models import Session
from accounts.models.session import new_session_id
from accounts.services import nonces
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.errors import SessionRefused, SignInRefused
from accounts.services.sign_in_expectations import REFUSED, site_expectation
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from telemetry.metrics import counter

BEARER_PREFIX: Final = "st_"
REFRESH_PREFIX: Final = "rt_"
SECRET_BYTES: Final = 32
TOKEN_LENGTH_MAX: Final = 64

log = get_logger(__name__)
_sign_ins = counter(names.SIGN_INS, "Sign-ins by outcome.", labels=("outcome",))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a bearer token stands for; what `request.user` is in API views."""

    account_id: str
    wallet: str
    session_id: str
    family: str

    @property
    def is_authenticated(self) -> bool:
        """Always: a token that proves nobody raises instead."""
        return True

    @property
    def pk(self) -> str:
        """The account, for what asks a user for its key."""
        return self.account_id


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The secrets of a new session, shown once."""

    account_id: str
    wallet: str
    access_token: str
    refresh_token: str
    expires_at: datetime
    refresh_expires_at: datetime


def sign_in(text: str, signature: str) -> TokenPair:
    """Begin a session for the wallet that signed an EIP-4361 message of ours; its nonce is used up.

    Raises SignInRefused, always in the same words. The nonce goes only with a valid signature, so that nobody can use
    up another's; of racers with one message exactly one gets a session.
    """
    from accounts.services.sign_in_messages import message_of_text, require_valid

    try:
        message = message_of_text(text)
        require_valid(message, signature, site_expectation())
        if not nonces.consume(message.nonce):
            raise SignInRefused(REFUSED)
    except SignInRefused:
        _sign_ins.labels(outcome="refused").inc()
        log.info(names.SIGN_IN_REFUSED)
        raise
    wallet = message.address.lower()
    pair = _begin(wallet, account_id_of_wallet(wallet), family=None)
    _sign_ins.labels(outcome="succeeded").inc()
    log.info(names.SIGN_IN_SUCCEEDED, wallet=wallet, account_id=pair.account_id)
    return pair


def signed_in(token: str) -> SignedIn:
    """Whom a bearer token stands for. Raises SessionRefused when it stands for nobody (any more)."""
    session = Session.objects.filter(
        token_hash=_hash(token), revoked_at=None, refreshed_at=None, expires_at__gt=timezone.now()
    ).first()
    if session is None or not token.startswith(BEARER_PREFIX):
        raise SessionRefused("The session is unknown, expired or revoked.")
    return SignedIn(session.account_id, session.wallet, session.id, session.family)


def signed_in_by_refresh(refresh_token: str) -> SignedIn:
    """Whom an unused refresh token stands for, without using it up: what the payer's own pages keep in their cookie.

    Raises SessionRefused when it stands for nobody (any more).
    """
    session = Session.objects.filter(
        refresh_hash=_hash(refresh_token), revoked_at=None, refreshed_at=None, refresh_expires_at__gt=timezone.now()
    ).first()
    if session is None or not refresh_token.startswith(REFRESH_PREFIX):
        raise SessionRefused("The session is unknown, expired or revoked.")
    return SignedIn(session.account_id, session.wallet, session.id, session.family)


def refresh(refresh_token: str) -> TokenPair:
    """A new pair for a refresh token, which is used up with its bearer token.

    Raises SessionRefused; when the token had served before, the whole family ends. Locks: the session's row.
    """
    now = timezone.now()
    with transaction.atomic():
        session = Session.objects.select_for_update().filter(refresh_hash=_hash(refresh_token)).first()
        usable = session is not None and session.revoked_at is None and session.refresh_expires_at > now
        if session is not None and usable and session.refreshed_at is None:
            session.refreshed_at = now
            session.save(update_fields=["refreshed_at"])
            return _begin(session.wallet, session.account_id, family=session.family)
    if session is not None and session.refreshed_at is not None:
        revoke_family(session.family)
    raise SessionRefused("The refresh token is unknown, expired or used up. Sign in again.")


def revoke_family(family: str) -> int:
    """End every session that began with one sign-in; says how many were alive."""
    ended = Session.objects.filter(family=family, revoked_at=None).update(revoked_at=timezone.now())
    log.info(names.SESSION_REVOKED, family=family, count=ended)
    return ended


def revoke_account(account_id: str) -> int:
    """End every session of an account: a lost device, a stolen token."""
    ended = Session.objects.filter(account_id=account_id, revoked_at=None).update(revoked_at=timezone.now())
    log.info(names.SESSION_REVOKED, account_id=account_id, count=ended)
    return ended


def sweep(limit: int = 10_000) -> int:
    """Delete sessions that no token can revive; says how many."""
    dead = Session.objects.filter(refresh_expires_at__lt=timezone.now()).values_list("pk", flat=True)[:limit]
    return Session.objects.filter(pk__in=list(dead)).delete()[0]


def _begin(wallet: str, account_id: str, *, family: str | None) -> TokenPair:
    now, session_id = timezone.now(), new_session_id()
    access = BEARER_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    replacement = REFRESH_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    session = Session.objects.create(
        id=session_id,
        family=family or session_id,
        account_id=account_id,
        wallet=wallet,
        token_hash=_hash(access),
        refresh_hash=_hash(replacement),
        expires_at=now + timedelta(seconds=loa("SESSION_SECONDS")),
        refresh_expires_at=now + timedelta(seconds=loa("SESSION_REFRESH_SECONDS")),
    )
    return TokenPair(account_id, wallet, access, replacement, session.expires_at, session.refresh_expires_at)


def _hash(token: str) -> str:
    return hashlib.sha256(token[:TOKEN_LENGTH_MAX].encode("utf-8", "replace")).hexdigest()
