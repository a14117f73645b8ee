"""API keys: made, shown once, found again by their HMAC, rotated with a grace, revoked at once.

A key is `dk_live_` or `dk_test_` and 32 random bytes; `live` where the environment is production. Stored is its
HMAC-SHA-256 under a pepper that the database does not know. Retired peppers are still tried, and a key found under one
is stored anew under the current one, so that a pepper can be replaced while keys are in use. Nothing about a key is
cached: a revoked one fails with the next request.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import throttles
from accounts.models import Account, ApiKey, ApiKeyUse
from accounts.models.api_key import new_key_id
from accounts.services import audit
from accounts.services.errors import KeyNotFound, KeyRefused, TooManyKeys
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

SCOPE_PAY: Final = "pay"
SCOPE_READ: Final = "read"
SCOPE_FACILITATE: Final = "facilitate"  # have payments of other sites settled; given only when asked for
SCOPES: Final = (SCOPE_PAY, SCOPE_READ, SCOPE_FACILITATE)
USUAL_SCOPES: Final = (SCOPE_PAY, SCOPE_READ)
SECRET_BYTES: Final = 32
LIVE_KEYS_MAX: Final = 50  # of one account
GRACE_SECONDS: Final = 24 * 3600
GRACE_SECONDS_MAX: Final = 7 * 24 * 3600
USE_DAYS_KEPT: Final = 40
_SHAPE: Final = re.compile(r"dk_(live|test)_[A-Za-z0-9_-]{43}", re.ASCII)
_REFUSED: Final = "The API key is unknown, expired or revoked."

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom an API key stands for; what `request.user` is where keys may come. Units: MicroUSD."""

    key_id: str
    account_id: str
    scopes: frozenset[str]
    limit_per_minute: int
    daily_cap_micro_usd: int | None
    family: str = ""

    @property
    def is_authenticated(self) -> bool:
        """Always: a key that proves nobody raises instead."""
        return True

    @property
    def pk(self) -> str:
        """The account, for what asks a user for its key."""
        return self.account_id

    @property
    def payer(self) -> str:
        """How payments name this key: by its family, which outlives a rotation."""
        return f"key:{self.family}"


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key may do. Units: MicroUSD; None is no limit of its own."""

    name: str = ""
    scopes: Sequence[str] = USUAL_SCOPES
    limit_per_minute: int | None = None
    daily_cap_micro_usd: int | None = None
    expires_at: datetime | None = None


def create(account_id: str, *, created_by: str, terms: KeyTerms | None = None) -> tuple[ApiKey, str]:
    """A new key of the account: its row, and its secret, which exists nowhere else from now on.

    Locks the account's row, so that racers cannot have more than LIVE_KEYS_MAX. Raises TooManyKeys.
    """
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account_id)
        if live_keys(account_id).count() >= LIVE_KEYS_MAX:
            raise TooManyKeys(f"An account has at most {LIVE_KEYS_MAX} keys that are not revoked or expired.")
        row, secret = _insert(account_id, terms or KeyTerms(), created_by=created_by)
        audit.record(created_by, action="api_key.created", subject=row.pk, facts={"account_id": account_id})
    log.info(names.API_KEY_CREATED, key_id=row.pk, account_id=account_id)
    return row, secret


def rotate(account_id: str, key_id: str, *, created_by: str, grace_seconds: int = GRACE_SECONDS) -> tuple[ApiKey, str]:
    """Replace a key by one with the same terms, family and daily cap; the old one works until the grace ends.

    Locks the key's row. Raises KeyNotFound, KeyRefused for a key that is revoked or has expired.
    """
    with transaction.atomic():
        old = _own(account_id, key_id, lock=True)
        if not is_live(old):
            raise KeyRefused("Only a key that still works can be rotated. Create a new one.")
        terms = KeyTerms(old.name, tuple(old.scopes), old.limit_per_minute, old.daily_cap_micro_usd, old.expires_at)
        ends = timezone.now() + timedelta(seconds=min(grace_seconds, GRACE_SECONDS_MAX))
        old.expires_at = ends if old.expires_at is None else min(ends, old.expires_at)
        old.save(update_fields=["expires_at"])
        row, secret = _insert(account_id, terms, created_by=created_by, family=old.family)
        audit.record(created_by, action="api_key.rotated", subject=old.pk, facts={"replaced_by": row.pk})
    log.info(names.API_KEY_ROTATED, key_id=old.pk, replaced_by=row.pk)
    return row, secret


def revoke(account_id: str, key_id: str, *, revoked_by: str) -> None:
    """End a key; the next request with it is refused. Ending it again changes nothing. Raises KeyNotFound."""
    with transaction.atomic():
        row = _own(account_id, key_id, lock=True)
        if row.revoked_at is not None:
            return
        row.revoked_at = timezone.now()
        row.save(update_fields=["revoked_at"])
        audit.record(revoked_by, action="api_key.revoked", subject=row.pk)
    log.info(names.API_KEY_REVOKED, key_id=row.pk)


def change_limits(
    account_id: str, key_id: str, *, changed_by: str, limit_per_minute: int | None, daily_cap_micro_usd: int | None
) -> ApiKey:
    """Give a key other limits, in force with its next request. Units: MicroUSD. Raises KeyNotFound."""
    with transaction.atomic():
        row = _own(account_id, key_id, lock=True)
        row.limit_per_minute, row.daily_cap_micro_usd = limit_per_minute, daily_cap_micro_usd
        row.save(update_fields=["limit_per_minute", "daily_cap_micro_usd"])
        facts = {"limit_per_minute": limit_per_minute, "daily_cap_micro_usd": daily_cap_micro_usd}
        audit.record(changed_by, action="api_key.limits_changed", subject=row.pk, facts=facts)
    return row


def authenticate(token: str) -> KeyHolder:
    """Whom an API key stands for. Raises KeyRefused, always in the same words.

    One look-up by a unique hash: how long it takes says nothing about other keys.
    """
    shape = _SHAPE.fullmatch(token)
    if shape is None or shape[1] != _kind():
        raise KeyRefused(_REFUSED)
    hashes = [_hash(token, pepper) for pepper in (loa("API_KEY_PEPPER"), *loa("API_KEY_PEPPERS_RETIRED")) if pepper]
    row = ApiKey.objects.filter(key_hash__in=hashes).first()
    if row is None or not is_live(row):
        raise KeyRefused(_REFUSED)
    _note_use(row, current_hash=hashes[0])
    return holder_of(row)


def holder_of(row: ApiKey) -> KeyHolder:
    """The key as requests see it; a limit of its own never exceeds the site's."""
    site_limit = loa("RATE_LIMITS")["key"]
    own_limit = site_limit if row.limit_per_minute is None else min(row.limit_per_minute, site_limit)
    return KeyHolder(row.pk, row.account_id, frozenset(row.scopes), own_limit, row.daily_cap_micro_usd, row.family)


def check_rate(holder: KeyHolder) -> throttles.Verdict:
    """Count one request of this key; a family shares its limit, so that rotating a key does not double it."""
    return throttles.check("key", holder.family, limit=holder.limit_per_minute)


def own_key(account_id: str, key_id: str) -> ApiKey:
    """A key of this account. Raises KeyNotFound, for another account's key as well."""
    return _own(account_id, key_id)


def is_live(row: ApiKey) -> bool:
    """Whether the key works now."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > timezone.now())


def live_keys(account_id: str) -> QuerySet[ApiKey]:
    """The account's keys that work now."""
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(unexpired, account_id=account_id, revoked_at=None)


def spent_today(family: str) -> int:
    """What a family of keys has spent or holds on this UTC day. Units: MicroUSD."""
    day = timezone.now().date()
    amounts = ApiKeyUse.objects.filter(family=family, day=day).values_list("amount_micro_usd", flat=True)
    return amounts.first() or 0


_TAKE: Final = """
INSERT INTO accounts_apikeyuse AS u (family, day, amount_micro_usd) VALUES (%(family)s, %(day)s, %(amount)s)
ON CONFLICT (family, day) DO UPDATE SET amount_micro_usd = u.amount_micro_usd + excluded.amount_micro_usd
WHERE u.amount_micro_usd + excluded.amount_micro_usd <= %(cap)s RETURNING amount_micro_usd
"""
NO_CAP: Final = 2**63 - 1


def take_from_cap(holder: KeyHolder, *, amount_micro_usd: int, at: datetime) -> bool:
    """Count an amount against the key's cap of that day, in the caller's transaction; whether it fits.

    Units: MicroUSD. Locks the day's row until the caller commits: of calls at once the cap admits what fits (R27).
    """
    cap = NO_CAP if holder.daily_cap_micro_usd is None else holder.daily_cap_micro_usd
    if amount_micro_usd > cap:
        return False
    facts: dict[str, str | int | date] = {
        "family": holder.family,
        "day": at.date(),
        "amount": amount_micro_usd,
        "cap": cap,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, facts)
        return cursor.fetchone() is not None


def sweep(limit: int = 10_000) -> int:
    """Forget use of days that no cap asks about any more; says how many rows."""
    oldest = timezone.now().date() - timedelta(days=USE_DAYS_KEPT)
    old = ApiKeyUse.objects.filter(day__lt=oldest).values_list("pk", flat=True)[:limit]
    return ApiKeyUse.objects.filter(pk__in=list(old)).delete()[0]


def _insert(account_id: str, terms: KeyTerms, *, created_by: str, family: str = "") -> tuple[ApiKey, str]:
    secret = f"dk_{_kind()}_{secrets.token_urlsafe(SECRET_BYTES)}"
    key_id = new_key_id()
    row = ApiKey.objects.create(
        id=key_id,
        family=family or key_id,
        account_id=account_id,
        name=terms.name,
        hint=f"dk_{_kind()}_…{secret[-4:]}",
        key_hash=_hash(secret, loa("API_KEY_PEPPER")),
        scopes=list(terms.scopes),
        limit_per_minute=terms.limit_per_minute,
        daily_cap_micro_usd=terms.daily_cap_micro_usd,
        created_by=created_by,
        expires_at=terms.expires_at,
    )
    return row, secret


def _own(account_id: str, key_id: str, *, lock: bool = False) -> ApiKey:
    rows = ApiKey.objects.select_for_update() if lock else ApiKey.objects.all()
    row = rows.filter(pk=key_id, account_id=account_id).first() if "\0" not in key_id else None
    if row is None:
        raise KeyNotFound("This account has no such key.")
    return row


def _note_use(row: ApiKey, *, current_hash: str) -> None:
    """Move a key to the current pepper, and remember the hour of its use: at most one write an hour."""
    now = timezone.now()
    changes: dict[str, object] = {}
    if row.key_hash != current_hash:
        changes["key_hash"] = current_hash
    if row.last_used_at is None or row.last_used_at < now - timedelta(hours=1):
        changes["last_used_at"] = now
    if changes:
        ApiKey.objects.filter(pk=row.pk).update(**changes)


def _kind() -> str:
    return "live" if loa("ENVIRONMENT") == "production" else "test"


def _hash(token: str, pepper: str) -> str:
    return hmac.new(pepper.encode(), token.encode(), hashlib.sha256).hexdigest()
