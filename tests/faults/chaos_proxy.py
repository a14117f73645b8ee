"""A TCP proxy between the code under test and Postgres that can refuse, cut, or lose an answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK = 65_536


class ChaosProxy:
    """Forwards one port to another until it is told otherwise.

    `is_cut`: connections that are open are closed, new ones are closed at once.
    `is_frozen`: everything is accepted and acknowledged, nothing is passed on, as by a server that was stopped.
    `loses_next_answer`: what the server sends next is thrown away and its connection closed, once.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_cut = False
        self.is_frozen = False
        self.lost_answers = 0
        self._loses_next_answer = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        with self._lock:
            for one in self._open:
                _shut(one)

    def mend(self) -> None:
        self.is_cut = False

    def lose_next_answer(self) -> None:
        self._loses_next_answer.set()

    def close(self) -> None:
        self.cut()
        _shut(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target_port))
            with self._lock:
                self._open |= {client, server}
            for source, target, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._forward, args=(source, target, is_answer), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                if is_answer and self._loses_next_answer.is_set():
                    self._loses_next_answer.clear()
                    self.lost_answers += 1
                    break
                if self.is_frozen:
                    continue
                target.sendall(chunk)
        _shut(source)
        _shut(target)
        with self._lock:
            self._open.discard(source)
        source.close()


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[ChaosProxy]:
    """A proxy in front of a local port, closed at the end."""
    proxy = ChaosProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
