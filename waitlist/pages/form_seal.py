"""The sealed moment at which a form was shown: robots fill a form in no time, and old pages ask for nothing we want.

The pages set no cookie, so there is no CSRF token; this seal is what a form must carry. A forged request could do no
more than a visitor typing the same, and every form that changes something personal carries that person's own link.
"""

from datetime import timedelta
from enum import Enum
from typing import Final

from django.core import signing

SALT: Final = "waitlist.form"
SECONDS_MIN: Final = 2
LIFETIME: Final = timedelta(hours=24)
LENGTH_MAX: Final = 120


class Freshness(Enum):
    """What a seal says about the form that carries it."""

    GOOD = "good"
    TOO_FAST = "too fast"
    STALE = "stale"


def new_seal() -> str:
    """A seal for a form that is shown now."""
    return signing.TimestampSigner(salt=SALT).sign("form")


def freshness_of(seal: str) -> Freshness:
    """Whether a form was open for a human's time. A missing or forged seal is a stale one."""
    signer = signing.TimestampSigner(salt=SALT)
    try:
        signer.unsign(seal[:LENGTH_MAX], max_age=LIFETIME)
    except signing.BadSignature:
        return Freshness.STALE
    try:
        signer.unsign(seal[:LENGTH_MAX], max_age=SECONDS_MIN)
    except signing.SignatureExpired:
        return Freshness.GOOD
    return Freshness.TOO_FAST
