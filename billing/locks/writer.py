"""The process's writer: leases a stream, gives every batch its token, and notices when the stream is not its own.

Rule R8, in order. A lease counts only once its holder has advanced the stream's row with its first token. One batch
is in flight per stream: the mutex is held from the issue of a token until the database has answered. A row that
refuses a token while the lease is still ours lifts the counter above the row and the same batch is sent again, at
most twice; a row that names another holder ends our lease, and the batch is refused. Without Redis the row's
holder, epoch and lease, by the database's clock, are the lease; after a failure Redis is asked again a second later.

A process keeps one writer. It gives its stream back at exit, so that a restart need not wait for the lease to end.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from redis import Redis

from billing.domain.errors import LedgerUnavailable, StaleToken
from billing.locks import fencing, lease
from billing.locks.errors import NoStreamFree, RedisUnavailable
from billing.locks.redis_client import redis_client
from billing.locks.stream_rows import acquire_stream, release_stream, stream_row, stream_rows
from telemetry import names
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)

Answer = TypeVar("Answer")

RESENDS_MAX: Final = 2
REDIS_PAUSE_SECONDS: Final = 1.0
FREE_STREAM_ROUNDS_MAX: Final = 50  # five seconds: longer than a take-over, shorter than a payer's patience
FREE_STREAM_POLL_SECONDS: Final = 0.1
LEASE_SECONDS: Final = lease.LEASE_MILLISECONDS // 1000
LEASE_MARGIN: Final = 0.5  # the row's lease is taken anew when less than half of it is left by our own clock


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to write one batch: the append function checks all of it against the stream's row."""

    stream: int
    token: int
    holder: str
    epoch: int
    lease_seconds: int = LEASE_SECONDS


@dataclass(slots=True)
class _Held:
    stream: int
    epoch: int
    row_token: int  # the highest token known to be spent on the row
    row_lease_ends: float  # monotonic seconds


class StreamWriter:
    """Writes batches to a stream that is this process's alone. Safe to share among threads, not among forks."""

    def __init__(
        self, *, lease_seconds: int = LEASE_SECONDS, keepalive_seconds: float = lease.KEEPALIVE_SECONDS
    ) -> None:
        self.holder = new_id(f"{socket.gethostname()[:20]}")
        self._lease_seconds = lease_seconds
        self._keepalive_seconds = keepalive_seconds
        self._mutex = threading.Lock()
        self._held: _Held | None = None
        self._redis_asked_again_at = 0.0
        self._stopped = threading.Event()
        self._keepalive: threading.Thread | None = None

    @property
    def stream(self) -> int | None:
        """The stream this writer holds, as far as it knows."""
        held = self._held
        return held.stream if held else None

    def write(self, send: Callable[[Ticket], Answer]) -> Answer:
        """Send one batch with a fresh token and return the database's answer.

        `send` makes the one database call and raises StaleToken (fact `row_token`) when the stream's row refused. It is
        called at most three times, each time with a higher token; a refused call has written nothing.
        Locks: this process's stream, until `send` has returned. Raises StaleToken when another writer has taken the
        stream, NoStreamFree, FencingTokenCorrupt, FencingTokenOverflow, and whatever `send` raises.
        Source: rule R8, plan 11.3.
        """
        with self._mutex:
            for _ in range(RESENDS_MAX):
                ticket = self._next_ticket()
                try:
                    return self._send(send, ticket)
                except StaleToken:
                    if not self._is_still_ours():
                        raise
            return self._send(send, self._next_ticket())

    def release(self) -> None:
        """Give the stream back, in Redis and in its row. A lease that cannot be given back ends by itself."""
        self._stopped.set()
        with self._mutex:
            held, self._held = self._held, None
            if held is None:
                return
            self._release_redis_lease(held.stream)
            try:
                release_stream(held.stream, holder=self.holder, epoch=held.epoch)
            except LedgerUnavailable as error:
                log.warning(names.STREAM_LEASE_LOST, stream=held.stream, reason=str(error)[:200])

    def _send(self, send: Callable[[Ticket], Answer], ticket: Ticket) -> Answer:
        sent_at = time.monotonic()
        try:
            answer = send(ticket)
        except StaleToken as refusal:
            last_accepted = str(refusal.facts.get("row_token", ""))
            fencing.log_stale(stream=ticket.stream, token=ticket.token, last_accepted=last_accepted)
            raise
        finally:
            # Also after an error: the batch may have been committed and only its answer lost.
            if self._held is not None:
                self._held.row_token = max(self._held.row_token, ticket.token)
        if self._held is not None:
            self._held.row_lease_ends = sent_at + self._lease_seconds
        return answer

    def _is_still_ours(self) -> bool:
        """After a refusal: whether the row names us and our epoch still; then we know its token."""
        held = self._held
        row = stream_row(held.stream) if held else None
        if held and row and (row.holder, row.epoch) == (self.holder, held.epoch):
            held.row_token = max(held.row_token, row.last_token)
            return True
        self._lose(f"the row is held by {row.holder!r}" if row else "the stream has no row")
        return False

    def _next_ticket(self) -> Ticket:
        for _ in range(FREE_STREAM_ROUNDS_MAX):
            ticket = self._ticket_of_held() or self._ticket_of_new_stream()
            if ticket is not None:
                return ticket
            threading.Event().wait(FREE_STREAM_POLL_SECONDS)
        raise NoStreamFree(rounds=FREE_STREAM_ROUNDS_MAX)

    def _ticket_of_held(self) -> Ticket | None:
        """The next ticket of the stream we hold; None, and the stream is given up, when it is ours no more."""
        held = self._held
        if held is None:
            return None
        token = self._issue(held.stream, floor=held.row_token)
        if token is None:
            self._lose("the Redis lease is another writer's")
            return None
        if time.monotonic() > held.row_lease_ends - self._lease_seconds * LEASE_MARGIN:
            # Idle for a while: another process may have taken the row since, so take it anew before writing.
            return self._acquire(held.stream, token)
        return Ticket(held.stream, token, self.holder, held.epoch, self._lease_seconds)

    def _ticket_of_new_stream(self) -> Ticket | None:
        redis = self._redis()
        if redis is None:
            return self._acquire(None, None)
        try:
            return self._lease_free_stream(redis)
        except RedisUnavailable as error:
            self._pause_redis(error, stream=None, token=None)
            return self._acquire(None, None)

    def _lease_free_stream(self, redis: Redis) -> Ticket | None:
        """Lease the first stream that nobody holds by either gate, or one more when all are held."""
        rows = stream_rows()
        writable = [row for row in rows if row.lane == "writer" and (not row.is_leased or row.holder == self.holder)]
        free = [(row.stream, row.last_token) for row in writable]
        for stream, last_token in [*free, (max((row.stream for row in rows), default=-1) + 1, 0)]:
            if not lease.take_lease(redis, stream=stream, holder=self.holder, milliseconds=self._lease_seconds * 1000):
                continue
            token = self._issue(stream, floor=last_token)
            ticket = self._acquire(stream, token) if token is not None else None
            if ticket is not None:
                return ticket
            lease.release_lease(redis, stream=stream, holder=self.holder)
        return None

    def _acquire(self, stream: int | None, token: int | None) -> Ticket | None:
        """Advance the stream's row with our token; then a ticket with the next one, because that one is spent."""
        asked_at = time.monotonic()
        acquired = acquire_stream(self.holder, lease_seconds=self._lease_seconds, stream=stream, token=token)
        if acquired is None:
            if self._held is not None:
                self._lose("the row is held by another writer")
            return None
        is_new = self._held is None
        self._held = _Held(acquired.stream, acquired.epoch, acquired.token, asked_at + self._lease_seconds)
        if is_new:
            log.info(names.STREAM_LEASE_TAKEN, stream=acquired.stream, epoch=acquired.epoch, token=acquired.token)
            self._start_keepalive()
        next_token = self._issue(acquired.stream, floor=acquired.token)
        if next_token is None:
            self._lose("the Redis lease is another writer's")
            return None
        return Ticket(acquired.stream, next_token, self.holder, acquired.epoch, self._lease_seconds)

    def _issue(self, stream: int, *, floor: int) -> int | None:
        """A token above `floor`, accepted by the first gate where it can be asked; None when the lease is not ours."""
        redis = self._redis()
        if redis is not None:
            try:
                return self._issue_in_redis(redis, stream, floor=floor)
            except RedisUnavailable as error:
                self._pause_redis(error, stream=stream, token=floor + 1)
        if floor >= fencing.MAX_SAFE_INTEGER:
            fencing.refuse_overflow(stream=stream, issued=floor)
        return floor + 1

    def _issue_in_redis(self, redis: Redis, stream: int, *, floor: int) -> int | None:
        milliseconds = self._lease_seconds * 1000
        for _ in range(RESENDS_MAX + 1):
            issued = fencing.issue_token(redis, stream=stream, holder=self.holder, floor=floor)
            if issued.is_accepted:
                return issued.token
            if issued.token is None:
                # Flushed, or expired in a pause. Free: it is ours again, and the row says whether that counts.
                if not lease.take_lease(redis, stream=stream, holder=self.holder, milliseconds=milliseconds):
                    return None
            else:
                floor = max(floor, int(issued.last_accepted))
        return None

    def _redis(self) -> Redis | None:
        return redis_client() if time.monotonic() >= self._redis_asked_again_at else None

    def _pause_redis(self, error: RedisUnavailable, *, stream: int | None, token: int | None) -> None:
        self._redis_asked_again_at = time.monotonic() + REDIS_PAUSE_SECONDS
        fencing.log_sync_failed(stream=stream, token=token, error=error)

    def _lose(self, reason: str) -> None:
        held, self._held = self._held, None
        if held is not None:
            log.warning(names.STREAM_LEASE_LOST, stream=held.stream, epoch=held.epoch, reason=reason)

    def _release_redis_lease(self, stream: int) -> None:
        redis = self._redis()
        if redis is None:
            return
        try:
            lease.release_lease(redis, stream=stream, holder=self.holder)
        except RedisUnavailable as error:
            self._pause_redis(error, stream=stream, token=None)

    def _start_keepalive(self) -> None:
        if self._keepalive is None:
            self._stopped.clear()
            self._keepalive = threading.Thread(target=self._extend_until_stopped, name="ledger-lease", daemon=True)
            self._keepalive.start()

    def _extend_until_stopped(self) -> None:
        """Extend the Redis lease while a stream is held. What it finds is acted on at the next issue of a token."""
        while not self._stopped.wait(self._keepalive_seconds):
            held, redis = self._held, self._redis()
            if held is None or redis is None:
                continue
            try:
                lease.extend_lease(
                    redis, stream=held.stream, holder=self.holder, milliseconds=self._lease_seconds * 1000
                )
            except RedisUnavailable as error:
                self._pause_redis(error, stream=held.stream, token=None)
