"""When something that was refused is tried again.

A refusal by the entry itself counts: five of them, and a person must look. An outage (database, Redis, chain,
facilitator) counts nothing, because it says nothing about the entry: the queue pauses and comes back.
Delays are 1, 2, 4, 8 and 16 seconds, each within a fifth of itself, so that what failed together does not return
together.
"""

from datetime import timedelta
from fractions import Fraction
from typing import Final

BACKOFF_SECONDS: Final = (1, 2, 4, 8, 16)
ATTEMPTS_MAX: Final = len(BACKOFF_SECONDS)
OUTAGE_PAUSE_SECONDS: Final = 5
JITTER: Final = Fraction(1, 5)


def delay_before(attempt: int, *, spread: Fraction) -> timedelta:
    """How long attempt number `attempt` (from 1) waits; `spread` from 0 to 1 places it within its jitter.

    >>> [delay_before(n, spread=Fraction(1, 2)).total_seconds() for n in (1, 2, 3, 4, 5)]
    [1.0, 2.0, 4.0, 8.0, 16.0]
    """
    return jittered(BACKOFF_SECONDS[min(attempt, ATTEMPTS_MAX) - 1], spread=spread)


def is_exhausted(refusals: int) -> bool:
    """Whether so many refusals end the automatic retries.

    >>> is_exhausted(4), is_exhausted(5)
    (False, True)
    """
    return refusals >= ATTEMPTS_MAX


def jittered(seconds: int, *, spread: Fraction) -> timedelta:
    """`seconds`, moved by up to a fifth in either direction.

    >>> jittered(10, spread=Fraction(0)).total_seconds(), jittered(10, spread=Fraction(1)).total_seconds()
    (8.0, 12.0)
    """
    if not 0 <= spread <= 1:
        raise ValueError(f"a spread lies between 0 and 1, not {spread}")
    milliseconds = seconds * 1000 * (1 + JITTER * (2 * spread - 1))
    return timedelta(milliseconds=int(milliseconds))
