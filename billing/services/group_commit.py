"""Group commit: threads that append at the same time are written together, and one alone waits for nobody.

The first caller leads: it takes everything that waits, up to a limit, writes one batch and hands the results out;
whoever waits next leads the next batch. There are no timers. A follower does not wait for ever: when its leader's
thread is gone, or its deadline has passed, it leads itself, or says that its outcome is unknown (rule R29).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from billing.domain.errors import OutcomeUnknown
from billing.domain.journal import Result
from billing.services.batch_encoding import EncodedJournal

BATCH_JOURNALS_MAX: Final = 200  # above this a batch only makes its callers wait longer
FOLLOWER_SECONDS: Final = 30.0  # longer than a leader's bounded call with its resends
GLANCE_SECONDS: Final = 1.0  # how often a follower looks whether its leader still lives


class Call:
    """One append call that waits to be written: its journals, then its results or what went wrong."""

    __slots__ = ("error", "is_done", "journals", "must_lead", "results", "wake")

    def __init__(self, journals: Sequence[EncodedJournal]) -> None:
        self.journals = journals
        self.results: list[Result] | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.must_lead = False
        self.wake = threading.Lock()
        self.wake.acquire()

    def outcome(self) -> list[Result]:
        """The results; raises what the leader met, or OutcomeUnknown when it left no word."""
        if self.error is not None:
            raise self.error
        if self.results is None:
            raise OutcomeUnknown(journals=len(self.journals))
        return self.results


class GroupCommit:
    """The queue of one process. `write` fills the results of the calls it is given; it runs in one thread at a time."""

    def __init__(self, write: Callable[[Sequence[Call]], None], *, follower_seconds: float = FOLLOWER_SECONDS) -> None:
        self._write = write
        self._follower_seconds = follower_seconds
        self._mutex = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._leader: threading.Thread | None = None

    def submit(self, call: Call) -> list[Result]:
        """Have a call written, by this thread or another, and return its results.

        Raises what writing raised; OutcomeUnknown when no answer came in time.
        """
        with self._mutex:
            self._waiting.append(call)
            if self._leader is None:
                self._leader = threading.current_thread()
                call.must_lead = True
        if not call.must_lead:
            self._follow(call)
        if call.must_lead and not call.is_done:
            self._lead()
        return call.outcome()

    def _follow(self, call: Call) -> None:
        deadline = time.monotonic() + self._follower_seconds
        while not call.wake.acquire(timeout=GLANCE_SECONDS):
            is_late = time.monotonic() > deadline
            with self._mutex:
                leader = self._leader
                if call.is_done or call.must_lead:
                    return
                if not is_late and leader is not None and leader.is_alive():
                    continue
                if call not in self._waiting:
                    return  # taken by a leader that gave no answer: unknown, and to be asked again by key
                self._leader = threading.current_thread()
                call.must_lead = True
                return

    def _lead(self) -> None:
        with self._mutex:
            self._leader = threading.current_thread()
            batch = self._take()
        try:
            self._write(batch)
        except BaseException as error:
            for call in batch:
                if call.results is None and call.error is None:
                    call.error = (
                        error if isinstance(error, Exception) else OutcomeUnknown(reason="the leader was stopped")
                    )
            if not isinstance(error, Exception):
                raise
        finally:
            self._hand_over(batch)

    def _take(self) -> list[Call]:
        batch: list[Call] = []
        journals = 0
        while self._waiting and (not batch or journals + len(self._waiting[0].journals) <= BATCH_JOURNALS_MAX):
            call = self._waiting.popleft()
            journals += len(call.journals)
            batch.append(call)
        return batch

    def _hand_over(self, batch: Sequence[Call]) -> None:
        own = threading.current_thread()
        with self._mutex:
            following = None
            if self._leader is own:
                following = self._waiting[0] if self._waiting else None
                self._leader = None
                if following is not None:
                    # The next leader's thread is not known here; it names itself when it wakes.
                    following.must_lead = True
                    self._leader = own
        if following is not None:
            following.wake.release()
        for call in batch:
            call.is_done = True
            if call.wake.locked():
                call.wake.release()
