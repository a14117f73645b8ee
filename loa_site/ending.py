"""Learning that this process is told to end, while the web server handles the signal its own way.

The server replaces Python's signal handlers after it has loaded the application, so a handler of ours would be lost.
The interpreter writes the number of every signal to its wake-up descriptor whatever handler there is; one thread reads
it and lets paid streams end in time (`x402.services.drain`).
Source: Python documentation, `signal.set_wakeup_fd`.
"""

import signal
import socket
import threading
from typing import Final

from x402.services.drain import drain

ENDS: Final = frozenset({signal.SIGTERM, signal.SIGINT})

_told: list[socket.socket] = []  # kept open for the process's life: the interpreter writes to it


def watch_for_end() -> None:
    """Begin to drain when this process is told to end. Called once, from the main thread; elsewhere it does nothing."""
    if threading.current_thread() is not threading.main_thread() or _told:
        return
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    _told.extend((reading, writing))
    threading.Thread(target=_listen, args=(reading,), name="end-of-process", daemon=True).start()


def _listen(reading: socket.socket) -> None:
    while numbers := reading.recv(64):
        if ENDS & set(numbers):
            drain.begin()
