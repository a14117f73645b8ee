"""Connections by judged address: TLS still checks the host's name, and a failed connect is told from a cut one."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from outbound.address_filter import Target
from outbound.deadlines import Deadline
from outbound.errors import NothingSent

POOLS_MAX: Final = 64
CONNECTIONS_PER_POOL: Final = 32

current_deadline: ContextVar[Deadline | None] = ContextVar("outbound_deadline", default=None)


class WatchedConnection(HTTPConnection):
    """Raises NothingSent when it cannot connect, and tells the call's deadline which socket it uses."""

    def connect(self) -> None:
        _connect(self, super().connect)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _tell_deadline(self)
        super().request(*args, **kwargs)


class WatchedTLSConnection(HTTPSConnection):
    """The same over TLS; a certificate that does not fit counts as no connection."""

    def connect(self) -> None:
        _connect(self, super().connect)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _tell_deadline(self)
        super().request(*args, **kwargs)


class ConnectionPools:
    """Keep-alive pools by scheme, address and name; the least recently used goes when there are too many."""

    def __init__(self) -> None:
        self._pools: OrderedDict[tuple[str, str, int, str], urllib3.HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    def pool(self, target: Target, address: str) -> urllib3.HTTPConnectionPool:
        """The pool of connections to this address for this host name."""
        key = (target.scheme, address, target.port, target.host)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = _new_pool(target, address)
            self._pools.move_to_end(key)
            while len(self._pools) > POOLS_MAX:
                self._pools.popitem(last=False)[1].close()
        return pool


def _new_pool(target: Target, address: str) -> urllib3.HTTPConnectionPool:
    if target.scheme == "http":
        plain = urllib3.HTTPConnectionPool(address, target.port, maxsize=CONNECTIONS_PER_POOL)
        plain.ConnectionCls = WatchedConnection
        return plain
    secure = urllib3.HTTPSConnectionPool(
        address,
        target.port,
        maxsize=CONNECTIONS_PER_POOL,
        cert_reqs="CERT_REQUIRED",
        assert_hostname=target.host,
        server_hostname=target.host,
    )
    secure.ConnectionCls = WatchedTLSConnection
    return secure


def _connect(connection: HTTPConnection, connect: Callable[[], None]) -> None:
    try:
        connect()
    except (HTTPError, OSError) as error:
        connection.close()
        raise NothingSent("No connection could be made.", host=connection.host) from error
    _tell_deadline(connection)


def _tell_deadline(connection: HTTPConnection) -> None:
    deadline = current_deadline.get()
    if deadline is not None and connection.sock is not None:
        deadline.uses(connection.sock)
