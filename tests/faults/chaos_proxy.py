"""A TCP proxy that delays, cuts, half-closes, falls silent, answers nonsense, or loses one answer.

All proxies of a process share one event loop in a thread of their own, so that a test may call them from anywhere.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

HOST, CHUNK = "127.0.0.1", 65_536
CALL_SECONDS, POLL_SECONDS = 10.0, 0.01
GARBAGE = b"\x00\xff*garbage\r\n\r\n" * 4


class _Loop:
    """The event loop of all proxies; started with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do this in the loop's thread, and wait for it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)


_shared = _Loop()


class ChaosProxy:
    """Forwards to a local port, `target_port`, until it is told otherwise. Who connects next reaches the port of then.

    `is_cut`: connections that are open are closed, new ones are closed at once.
    `is_frozen`: everything is accepted and acknowledged, and nothing is ever passed on, as by a stopped server.
    `is_held`: the same, but what was sent arrives once the connection is mended, however late that is.
    `delay_seconds`: every chunk is passed on so much later.
    `is_garbled`: what the server sends is replaced by nonsense, and the connection closed.
    `half_close`: what the server sends on connections that are open is never heard again; what it is sent arrives.
    `lose_next_answer`: what the server sends next is thrown away and its connection closed, once.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.is_cut = False
        self.is_frozen = self.is_held = False
        self.is_garbled = False
        self.delay_seconds = 0.0
        self.lost_answers = 0
        self._loses_next_answer = False
        self._open: set[asyncio.StreamWriter] = set()
        self._mute: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server = _shared.run(asyncio.start_server(self._serve, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self.is_cut = True
        self.break_open()

    def break_open(self) -> None:
        """Close what is open; new connections are served."""
        _shared.run(self._abort())

    def half_close(self) -> None:
        _shared.run(self._half_close())

    def mend(self) -> None:
        """Forward everything again."""
        self.is_cut = self.is_frozen = self.is_held = self.is_garbled = False
        self.delay_seconds = 0.0

    def lose_next_answer(self) -> None:
        self._loses_next_answer = True

    def close(self) -> None:
        self.cut()
        _shared.run(self._end())

    async def _end(self) -> None:
        self._server.close()

    async def _abort(self) -> None:
        for one in list(self._open):
            one.transport.abort()

    async def _half_close(self) -> None:
        for one in list(self._clients - self._mute):
            self._mute.add(one)
            with contextlib.suppress(OSError, RuntimeError):
                one.write_eof()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self.is_cut:
            client.transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection(HOST, self.target_port)
        except OSError:
            client.transport.abort()
            return
        both = {client, server}
        self._open |= both
        self._clients.add(client)
        try:
            await asyncio.gather(self._forward(reader, server), self._forward(answers, client, is_answer=True))
        finally:
            self._open -= both
            self._clients.discard(client)
            self._mute.discard(client)
            for one in both:
                one.transport.abort() if self.is_cut else one.close()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while chunk := await source.read(CHUNK):
                if is_answer and self._loses_next_answer:
                    self._loses_next_answer = False
                    self.lost_answers += 1
                    break
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                while self.is_held and not self.is_cut:
                    await asyncio.sleep(POLL_SECONDS)
                if self.is_frozen or target in self._mute:
                    continue
                target.write(GARBAGE if is_answer and self.is_garbled else chunk)
                await target.drain()
                if is_answer and self.is_garbled:
                    break
        with contextlib.suppress(OSError, RuntimeError):
            target.close()


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[ChaosProxy]:
    """A proxy in front of a local port, closed at the end."""
    proxy = ChaosProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
