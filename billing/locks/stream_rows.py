"""The rows of the streams in Postgres: who may append, by the database's clock.

The application role may not write these rows; it calls functions that check and move them. Taking a stream is
committed at once and by itself: it is what makes a lease count (rule R8).
"""

from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from billing.domain.errors import LedgerUnavailable


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as its row says: the last token it took, and who holds it."""

    stream: int
    last_token: int
    holder: str
    epoch: int
    is_leased: bool
    lane: str


_ALL: Final = (
    "SELECT id, last_token, holder, epoch, holder <> '' AND lease_until > clock_timestamp(), lane FROM billing.stream"
    " WHERE %s::integer IS NULL OR id = %s ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Acquired:
    """The stream's row after its new holder advanced it with its first token."""

    stream: int
    epoch: int
    token: int


def stream_rows() -> list[StreamRow]:
    """Every stream of every lane, lowest number first; `is_leased` is judged by the database's clock."""
    return [StreamRow(*row) for row in _rows(_ALL, None, None)]


def stream_row(stream: int) -> StreamRow | None:
    """One stream's row, or None when there is no such stream."""
    return next((StreamRow(*row) for row in _rows(_ALL, stream, stream)), None)


def acquire_stream(
    holder: str, *, lease_seconds: int, stream: int | None = None, token: int | None = None
) -> Acquired | None:
    """Make `holder` the writer of a stream, or return None when the row refuses.

    Without a stream the first free one is taken, or a new one is made. Without a token the row issues it, and
    refuses while another holder's lease runs; with one, the caller holds the Redis lease and the token must be
    above the row's. Locks the stream's row; commits by itself outside a transaction. Raises LedgerUnavailable.
    """
    [(number, epoch, first_token, status)] = _rows(
        "SELECT stream, epoch, token, status FROM billing.acquire_stream(%s, %s, %s, %s)",
        *(holder, lease_seconds, stream, token),
    )
    return Acquired(number, epoch, first_token) if status == "ok" else None


def release_stream(stream: int, *, holder: str, epoch: int) -> bool:
    """Whether the stream was still this holder's in this epoch; its lease has ended then. Raises LedgerUnavailable."""
    [(was_held,)] = _rows("SELECT billing.release_stream(%s, %s, %s)", stream, holder, epoch)
    return bool(was_held)


def _rows(query: str, *parameters: str | int | None) -> list[tuple[Any, ...]]:
    """The query's rows. A connection that broke while nobody used it is replaced and the query asked once more."""
    try:
        return _fetch(query, parameters)
    except (InterfaceError, OperationalError):
        connection.close()
    try:
        return _fetch(query, parameters)
    except DatabaseError as error:
        raise LedgerUnavailable(reason=str(error)[:200]) from error


def _fetch(query: str, parameters: tuple[str | int | None, ...]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())
