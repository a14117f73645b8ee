"""What we tell others about: the kinds of event, and when a delivery that failed is tried again. Plain Python.

An event is told to each endpoint that asked for its kind, at least once and in no promised order; its id is the same
each time, so that a receiver can see a repetition. Delays between the ten tries grow from five seconds to ten hours,
each within a fifth of itself, which spans a long weekend's outage; after the last the delivery has failed, and a person
may send it again.

Source: Standard Webhooks, "Operational considerations".
"""

from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from billing.domain.retries import jittered

HOUR_SECONDS: Final = 3600
DELAYS_SECONDS: Final = (5, 60, 300, 1_800, 2 * HOUR_SECONDS, 5 * HOUR_SECONDS, *(10 * HOUR_SECONDS,) * 3)
TRIES_MAX: Final = len(DELAYS_SECONDS) + 1


class EventType(StrEnum):
    """The kinds of event; names never change once published."""

    PAYMENT_SETTLED = "payment.settled"
    CREDIT_NOTE_ISSUED = "credit_note.issued"
    CREDIT_NOTE_EXPIRING = "credit_note.expiring"
    REFUND_PAID = "refund.paid"
    KEY_LOW_BALANCE = "key.low_balance"
    DEAD_LETTER_POISONED = "dead_letter.poisoned"


def delay_after(tries: int, *, spread: Fraction) -> timedelta | None:
    """How long to wait after so many tries failed, or None when that was the last.

    >>> delay_after(1, spread=Fraction(1, 2)).total_seconds(), delay_after(TRIES_MAX, spread=Fraction(1, 2))
    (5.0, None)
    """
    if tries < 1:
        raise ValueError(f"tries are counted from 1, not {tries}")
    return None if tries >= TRIES_MAX else jittered(DELAYS_SECONDS[tries - 1], spread=spread)
