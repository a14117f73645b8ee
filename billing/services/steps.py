"""Repeating a bounded step while it finds as much as it may take: a sweep keeps up with any rate, and still ends."""

import time
from collections.abc import Callable


def while_full(step: Callable[[], int], *, full: int, seconds: float) -> int:
    """Run `step` again as long as it did a full load and the time is not up; how much all of them did.

    Each step commits by itself, so that stopping between two loses nothing.

    >>> left = [100, 100, 30]
    >>> while_full(lambda: left.pop(0), full=100, seconds=60), left
    (230, [])
    """
    done, deadline = 0, time.monotonic() + seconds
    while True:
        one = step()
        done += one
        if one < full or time.monotonic() >= deadline:
            return done
