"""Nonces that need no row until they have served.

A nonce carries its birth, 128 random bits and a MAC over both and over what it was issued for: the sign-in, or one
request. So handing out nonces writes nothing (an unpaid 402 must not), and using one is a single INSERT whose primary
key decides between racers. EIP-4361 allows letters and digits only: the three parts are base 62, of fixed width.
"""

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import UsedNonce
from telemetry.configuration import loa
from telemetry.identifiers import BASE62, base62

FOR_SIGN_IN: Final = "sign-in"
BIRTH_DIGITS: Final = 6
RANDOM_DIGITS: Final = 22
MAC_DIGITS: Final = 22
LENGTH: Final = BIRTH_DIGITS + RANDOM_DIGITS + MAC_DIGITS
_SALT: Final = "accounts.services.nonces"
_BITS: Final = 128


def issue(purpose: str = FOR_SIGN_IN) -> str:
    """A nonce for one purpose: the sign-in, or the digest of the one request it may be used for."""
    birth = base62(int(timezone.now().timestamp()), digits=BIRTH_DIGITS)
    body = birth + base62(secrets.randbits(_BITS), digits=RANDOM_DIGITS)
    return body + _mac(body, purpose, settings.SECRET_KEY)


def is_ours(nonce: str, purpose: str = FOR_SIGN_IN) -> bool:
    """Whether we issued this nonce for this purpose, and it is still young enough."""
    if len(nonce) != LENGTH or any(digit not in BASE62 for digit in nonce):
        return False
    body, mac = nonce[:-MAC_DIGITS], nonce[-MAC_DIGITS:]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if not any(hmac.compare_digest(mac, _mac(body, purpose, key)) for key in keys):
        return False
    return issued_at(nonce) <= timezone.now() < expires_at(nonce)


def issued_at(nonce: str) -> datetime:
    """When a nonce of ours was issued, to the second."""
    seconds = 0
    for digit in nonce[:BIRTH_DIGITS]:
        seconds = seconds * len(BASE62) + BASE62.index(digit)
    return datetime.fromtimestamp(seconds, tz=UTC)


def expires_at(nonce: str) -> datetime:
    """When a nonce of ours ends."""
    return issued_at(nonce) + timedelta(seconds=loa("SIGN_IN_NONCE_SECONDS"))


def consume(nonce: str) -> bool:
    """Use a nonce up. True for exactly one caller, whatever races; the row outlives the nonce's own life."""
    try:
        with transaction.atomic():
            UsedNonce.objects.create(nonce=nonce, expires_at=expires_at(nonce) + timedelta(minutes=5))
    except IntegrityError:
        return False
    return True


def sweep(limit: int = 10_000) -> int:
    """Forget used nonces that no clock could accept any more; says how many."""
    expired = UsedNonce.objects.filter(expires_at__lt=timezone.now()).values_list("pk", flat=True)[:limit]
    return UsedNonce.objects.filter(pk__in=list(expired)).delete()[0]


def _mac(body: str, purpose: str, key: str) -> str:
    digest = salted_hmac(_SALT, f"{purpose}\n{body}", secret=key, algorithm="sha256").digest()
    return base62(int.from_bytes(digest[: _BITS // 8], "big"), digits=MAC_DIGITS)
