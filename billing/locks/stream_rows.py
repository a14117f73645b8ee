"""The rows of the streams in Postgres: who may append, by the database's clock.

The application role may not write these rows; it calls functions that check and move them. Taking a stream is
committed at once and by itself: it is what makes a lease count (rule R8).
"""

from dataclasses import dataclass
from typing import Final

from django.db import connection


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as its row says: the last token it took, and who holds it."""

    stream: int
    last_token: int
    holder: str
    epoch: int
    is_leased: bool
    lane: str


_SELECT: Final = (
    "SELECT id, last_token, holder, epoch, holder <> '' AND lease_until > clock_timestamp(), lane FROM billing.stream"
)


@dataclass(frozen=True, slots=True)
class Acquired:
    """The stream's row after its new holder advanced it with its first token."""

    stream: int
    epoch: int
    token: int


def stream_rows() -> list[StreamRow]:
    """Every stream of every lane, lowest number first; `is_leased` is judged by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_SELECT} ORDER BY id")
        return [StreamRow(*row) for row in cursor.fetchall()]


def stream_row(stream: int) -> StreamRow | None:
    """One stream's row, or None when there is no such stream."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_SELECT} WHERE id = %s", [stream])
        row = cursor.fetchone()
    return StreamRow(*row) if row else None


def acquire_stream(
    holder: str, *, lease_seconds: int, stream: int | None = None, token: int | None = None
) -> Acquired | None:
    """Make `holder` the writer of a stream, or return None when the row refuses.

    Without a stream the first free one is taken, or a new one is made. Without a token the row issues it, and
    refuses while another holder's lease runs; with one, the caller holds the Redis lease and the token must be
    above the row's. Locks the stream's row; commits by itself outside a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stream, epoch, token, status FROM billing.acquire_stream(%s, %s, %s, %s)",
            [holder, lease_seconds, stream, token],
        )
        number, epoch, first_token, status = cursor.fetchone()
    return Acquired(number, epoch, first_token) if status == "ok" else None


def release_stream(stream: int, *, holder: str, epoch: int) -> bool:
    """Whether the stream was still this holder's in this epoch; its lease has ended then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing.release_stream(%s, %s, %s)", [stream, holder, epoch])
        return bool(cursor.fetchone()[0])
