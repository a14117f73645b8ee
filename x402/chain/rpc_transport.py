"""Kept-alive HTTP connections to the nodes the settings name: one round trip per request, nothing else.

The nodes are chosen by the site's owner, not by a stranger, so there is no address to judge here; time, size and the
question whether bytes left are what matters.
"""

import http.client
import select
import ssl
import threading
from collections import defaultdict
from typing import Final
from urllib.parse import urlsplit

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024  # a receipt of a full batch is below 1 MiB; logs of a range may be more
IDLE_CONNECTIONS: Final = 16
CONNECT_TIMEOUT_SECONDS: Final = 3.0


class TransportUnreachable(Exception):
    """Raised when no connection was made: no byte of the request left."""


class TransportCut(Exception):
    """Raised when the request, or a part of it, may have arrived and the answer did not."""


class KeepAliveTransport:
    """Connections per URL, shared by threads; a connection the node closed while it was idle is replaced once."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, list[http.client.HTTPConnection]] = defaultdict(list)
        self._lock = threading.Lock()
        self._tls = ssl.create_default_context()

    def post(self, url: str, body: bytes, *, timeout_seconds: float) -> tuple[int, bytes]:
        """HTTP status and body of one POST. Raises TransportUnreachable before the first byte left, TransportCut after.

        On a connection that was idle the request is made a second time when the node closed it: JSON-RPC reads, and
        signed transactions, may be repeated.
        """
        idle = self._take(url)
        if idle is not None:
            try:
                return self._exchange(idle, url, body, timeout_seconds)
            except TransportCut as error:
                if not isinstance(error.__cause__, http.client.RemoteDisconnected | ConnectionError):
                    raise
        return self._exchange(self._connect(url, timeout_seconds), url, body, timeout_seconds)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            connections = [connection for pool in self._idle.values() for connection in pool]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _connect(self, url: str, timeout_seconds: float) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        timeout = min(timeout_seconds, CONNECT_TIMEOUT_SECONDS)
        host = parts.hostname or ""
        connection = (
            http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=self._tls)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=timeout)
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise TransportUnreachable(f"no connection to {host}: {error}") from error
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, url: str, body: bytes, timeout_seconds: float
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        if connection.sock is not None:
            connection.sock.settimeout(timeout_seconds)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        try:
            connection.request("POST", target, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            what = "no answer in time" if isinstance(error, TimeoutError) else "the connection was cut"
            raise TransportCut(f"{what} at {parts.hostname}") from error
        if len(raw) > MAX_ANSWER_BYTES:
            connection.close()
            raise TransportCut(f"an answer above {MAX_ANSWER_BYTES} bytes from {parts.hostname}")
        if response.will_close or connection.sock is None:
            connection.close()
        else:
            self._give_back(url, connection)
        return response.status, raw

    def _take(self, url: str) -> http.client.HTTPConnection | None:
        with self._lock:
            pool = self._idle[url]
            while pool:
                connection = pool.pop()
                if _is_alive(connection):
                    return connection
                connection.close()
        return None

    def _give_back(self, url: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle[url]) < IDLE_CONNECTIONS:
                self._idle[url].append(connection)
                return
        connection.close()


def _is_alive(connection: http.client.HTTPConnection) -> bool:
    """Whether an idle connection still looks open: something to read means that the node closed it.

    A TLS connection may hold a session ticket to read, so there the one retry in `post` decides instead.
    """
    if connection.sock is None:
        return False
    if isinstance(connection.sock, ssl.SSLSocket):
        return True
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return not waiting.poll(0)
