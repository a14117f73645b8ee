"""An asyncio proxy before a facilitator: refuses, delays, cuts, muddles, and says what the facilitator never said."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

CHUNK = 65_536
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n<html>?</htm"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class FacilitatorProxy:
    """Passes HTTP on, one exchange per connection, until told otherwise. Use as a context manager.

    `mode`: `pass`; `refused` (nobody listens); `slow` (the request is passed on after `delay_seconds`); `hang` (it is
    never passed on, and never answered); `cut` (passed on, and the answer thrown away); `garbage` (passed on, and
    answered with nonsense); `unasked` (not passed on, and answered with nonsense); `lie` (not passed on, answered with
    `lie(request)`). `settles` counts the calls of /settle that arrived; only they are disturbed.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        self._target = int(target.rpartition(":")[2])
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.mode = "pass"
        self.delay_seconds = 0.0
        self.lie: Callable[[bytes], bytes] = lambda _request: b"{}"
        self.settles = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "FacilitatorProxy":
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def listen(self) -> None:
        """Take connections again, in mode `pass`."""
        self.mode = "pass"
        if self._server is None:
            self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def refuse(self) -> None:
        """Refuse connections, as a machine that runs nothing does."""
        server, self._server = self._server, None
        if server is not None:
            self._run(self._close(server))

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    @staticmethod
    async def _close(server: asyncio.Server) -> None:
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await self._read_request(reader)
            is_settle = request.startswith(b"POST /settle")
            self.settles += is_settle
            answer = await self._answer(request, self.mode if is_settle else "pass")
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        with suppress(OSError):
            writer.close()

    @staticmethod
    async def _read_request(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:"))
        return head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + await reader.readexactly(length)

    async def _answer(self, request: bytes, mode: str) -> bytes | None:
        if mode == "hang":
            await asyncio.sleep(3_600)
        if mode == "unasked":
            return GARBAGE
        if mode == "lie":
            body = self.lie(request)
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        if mode == "slow":
            await asyncio.sleep(self.delay_seconds)
        answer = await self._ask(request)
        if mode == "cut":
            return None
        return GARBAGE if mode == "garbage" else answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target)
        writer.write(request)
        await writer.drain()
        answer = b""
        while chunk := await reader.read(CHUNK):
            answer += chunk
        writer.close()
        return answer
