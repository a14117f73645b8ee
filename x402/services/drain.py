"""The end of this process: when it is told to stop, streams have a little time left and are then ended in order.

The web server stops taking requests and waits for those that run; a stream could run for many minutes. Whoever learns
of the end first (a signal, a test) calls `begin`; streams look at `is_over` before each part they send.
"""

import threading
import time

from telemetry.configuration import loa


class Drain:
    """Whether this process is ending, and until when its streams may go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over_at: float | None = None

    def begin(self) -> None:
        """The process will end: streams may run `STREAM_DRAIN_SECONDS` longer. Asked twice, the first time counts."""
        with self._lock:
            if self._over_at is None:
                self._over_at = time.monotonic() + loa("STREAM_DRAIN_SECONDS")

    def cancel(self) -> None:
        """The process goes on after all."""
        with self._lock:
            self._over_at = None

    @property
    def has_begun(self) -> bool:
        return self._over_at is not None

    @property
    def is_over(self) -> bool:
        """Whether the time of the streams is up."""
        over_at = self._over_at
        return over_at is not None and time.monotonic() >= over_at


drain = Drain()
