"""An end to every call: a peer that sends one byte a second never runs into a read timeout, but into this.

One daemon thread watches all open calls of the process and shuts the socket of a call whose time is up; whoever reads
from it sees a cut connection at once.
"""

import heapq
import itertools
import socket
import threading
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Deadline:
    """The end of one call. A connection tells which socket it uses; `expired` says whether the end came first."""

    at: float
    expired: bool = False
    finished: bool = False
    sock: socket.socket | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def uses(self, sock: socket.socket | None) -> None:
        """The call goes over this socket from now on."""
        with self.lock:
            self.sock = sock
            if self.expired:
                self._shut()

    def expire(self) -> None:
        """Shut the socket, unless the call has finished."""
        with self.lock:
            if not self.finished:
                self.expired = True
                self._shut()

    def finish(self) -> None:
        """The call is over; its socket goes back to the pool untouched."""
        with self.lock:
            self.finished = True
            self.sock = None

    def remaining_seconds(self) -> float:
        """Seconds left, never less than zero."""
        return max(0.0, self.at - time.monotonic())

    def _shut(self) -> None:
        if self.sock is None:
            return
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # of the plain socket: TLS has its own, which may wait
        except OSError:
            self.sock = None  # already closed by the peer


class Watchdog:
    """The thread that expires deadlines; started with the first one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Deadline]] = []
        self._sequence = itertools.count()
        self._thread: threading.Thread | None = None

    def watch(self, seconds: float) -> Deadline:
        """A deadline that many seconds from now."""
        deadline = Deadline(at=time.monotonic() + seconds)
        with self._condition:
            if self._thread is None or not self._thread.is_alive():  # a fork leaves the thread behind
                self._thread = threading.Thread(target=self._run, name="outbound-deadlines", daemon=True)
                self._thread.start()
            heapq.heappush(self._heap, (deadline.at, next(self._sequence), deadline))
            if self._heap[0][2] is deadline:
                self._condition.notify()
        return deadline

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    self._drop_finished()
                    pause = self._heap[0][0] - time.monotonic() if self._heap else None
                    if pause is None or pause > 0:
                        self._condition.wait(pause)
                due = heapq.heappop(self._heap)[2]
            due.expire()

    def _drop_finished(self) -> None:
        while self._heap and self._heap[0][2].finished:
            heapq.heappop(self._heap)


watchdog = Watchdog()
