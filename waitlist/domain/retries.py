"""When a mail that the provider did not take is tried again."""

from datetime import timedelta
from typing import Final

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
TRIES_MAX: Final = 30  # about a day of hourly tries; after that staff are shown the mail


def pause_after(tries: int) -> timedelta:
    """How long to wait after `tries` failed ones: half a minute, doubled each time, an hour at most.

    >>> [int(pause_after(tries).total_seconds()) for tries in (1, 2, 3, 8, 29)]
    [30, 60, 120, 3600, 3600]
    """
    return min(FIRST_PAUSE * (1 << min(max(tries, 1) - 1, 10)), LONGEST_PAUSE)
