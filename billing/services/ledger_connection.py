"""The connection a process appends on: its own, in autocommit, and not any request's.

A leader writes for threads whose own connections are in any state; so the batch goes over a connection that nobody
else uses. It is bounded in time, because followers wait for it. Behind a transaction-mode pooler nothing is prepared.
"""

import os
import socket
import threading
import time
from typing import Any, Final, LiteralString

import psycopg
from django.conf import settings
from django.db import connections

from billing.domain.errors import LedgerUnavailable
from billing.services.recovery import inspect_raw_connection

SQL: Final = (
    "SELECT * FROM billing.append_batch(%s::int, %s::text, %s::bigint, %s::bigint, %s::int, "
    "string_to_array(%s, chr(31)), string_to_array(%s, chr(31)), %s::bytea[], string_to_array(%s, chr(31)), "
    "%s::int[], string_to_array(%s, chr(31)), string_to_array(%s, chr(31)), string_to_array(%s, chr(31)), "
    "string_to_array(%s, chr(31)), %s::int[], %s::bigint[], %s::jsonb)"
)
BOUNDS: Final = {
    # A leader that cannot hear its database gives up before its followers do.
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 12_000,
}
# The bounds above need a peer that is silent down to its kernel. A stopped server or a stuck proxy still acknowledges
# what it is sent; then this ends the call. Longer than the locks of one batch may take.
CALL_SECONDS: Final = 15.0
GLANCE_SECONDS: Final = 0.5


class LedgerConnection:
    """One connection, opened when first used and again after it broke. Used by one thread at a time."""

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self._connection: psycopg.Connection[Any] | None = None
        self._called_at: float | None = None

    def call(self, arguments: tuple[object, ...]) -> tuple[Any, ...]:
        """Run the append function once and return its row.

        Raises psycopg.Error as it comes, and LedgerUnavailable when no connection can be made.
        """
        row = self.execute(SQL, arguments)
        if row is None:
            raise LedgerUnavailable(reason="the append function answered nothing")
        return row

    def execute(self, statement: LiteralString, arguments: tuple[object, ...]) -> tuple[Any, ...] | None:
        """Run one statement in a transaction of its own and return its first row. Raises as `call` does."""
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = self._open()
        self._called_at = time.monotonic()
        try:
            with connection.cursor(binary=True) as cursor:
                cursor.execute(statement, arguments, prepare=not self._is_pooled())
                row: tuple[Any, ...] | None = cursor.fetchone()
        finally:
            self._called_at = None
        return row

    def is_broken(self) -> bool:
        """Whether the connection is gone, so that the outcome of the last call is open."""
        return self._connection is None or self._connection.closed

    def close(self) -> None:
        """Give the connection up; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _is_pooled(self) -> bool:
        return bool(settings.DATABASES[self._alias].get("DISABLE_SERVER_SIDE_CURSORS"))

    def _open(self) -> psycopg.Connection[Any]:
        parameters = connections[self._alias].get_connection_params()
        for name in ("cursor_factory", "prepare_threshold", "context"):
            parameters.pop(name, None)
        try:
            opened = psycopg.connect(
                **(BOUNDS | parameters), autocommit=True, prepare_threshold=None if self._is_pooled() else 1
            )
        except psycopg.OperationalError as error:
            raise LedgerUnavailable(reason=str(error)[:200]) from error
        threading.Thread(target=self._watch, args=(opened,), name="ledger-watch", daemon=True).start()
        self._called_at = time.monotonic()
        try:
            inspect_raw_connection(opened)
        except BaseException:
            opened.close()
            raise
        finally:
            self._called_at = None
        return opened

    def _watch(self, opened: psycopg.Connection[Any]) -> None:
        """Cut the connection when one call on it takes too long; its thread then hears that it broke."""
        while not opened.closed:
            time.sleep(GLANCE_SECONDS)
            called_at = self._called_at
            if called_at is not None and time.monotonic() - called_at > CALL_SECONDS and not opened.closed:
                with socket.socket(fileno=os.dup(opened.fileno())) as copied:
                    copied.shutdown(socket.SHUT_RDWR)
                return


def open_inline_streams(*, count: int) -> bool:
    """Have so many streams of the in-transaction lane, opened on a connection of their own; whether they are there.

    Not there means that stream 0 was busy for a second; then whoever appends waits for a stream that is taken.
    Raises LedgerUnavailable.
    """
    connection = LedgerConnection()
    try:
        connection.execute("SELECT billing.open_inline_streams(%s)", (count,))
    except psycopg.errors.LockNotAvailable:
        return False
    finally:
        connection.close()
    return True
