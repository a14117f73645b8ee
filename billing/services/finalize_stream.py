"""The finalize queue's stream in Redis: it wakes workers and shows what they hold. The rows are the truth.

Each dead letter of the queue is announced by one entry of `billing:dlq`. A worker reads new entries as a consumer of
`billing_finalize_group` and acknowledges an entry when its letter is over: booked, poisoned or voided. Entries of
letters that wait for their next try stay pending, so that the group's pending count is that of open letters. What a
dead worker held is claimed by another one after a while. An entry that nobody can read goes to the poison stream.

Without Redis, or after it forgot everything, nothing is lost: workers find due letters by their rows.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from billing.locks.errors import RedisUnavailable
from billing.locks.redis_client import redis_client, unavailable_as_one_error
from telemetry import names
from telemetry.configuration import redis_key
from telemetry.logging import get_logger

log = get_logger(__name__)

STREAM: Final = "billing:dlq"
POISON_STREAM: Final = "billing:dlq:poison"
GROUP: Final = "billing_finalize_group"
LETTER: Final = "dead_letter_id"

ENTRIES_MAX: Final = 100_000  # of the stream; the rows beyond it are found by the sweep
POISON_ENTRIES_MAX: Final = 10_000
CLAIM_IDLE_MS: Final = 20_000  # longer than the longest wait between two tries of one letter (16 s and jitter)
CONSUMER_IDLE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One announcement that this consumer holds."""

    id: str
    letter_id: str


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The stream as operators see it."""

    is_reachable: bool
    length: int = 0
    pending: int = 0
    unread: int = 0
    consumers: int = 0
    poisoned: int = 0


def announce(letter_id: str) -> bool:
    """Add an entry for a letter; whether Redis took it."""
    return _add(STREAM, {LETTER: letter_id}, length_max=ENTRIES_MAX)


def announce_poison(letter_id: str, *, reason: str, attempts: int) -> bool:
    """Say in the poison stream that a letter waits for a person; whether Redis took it."""
    fields: dict[str, str | int] = {LETTER: letter_id, "reason": reason, "attempts": attempts}
    return _add(POISON_STREAM, fields, length_max=POISON_ENTRIES_MAX)


def take(limit: int, *, consumer: str = "") -> list[Entry]:
    """Entries that are new, and those that another consumer has held for too long. Never blocks.

    Raises RedisUnavailable.
    """
    redis = redis_client()
    if redis is None:
        return []
    name = consumer or consumer_name()
    with unavailable_as_one_error():
        _ensure_group(redis)
        claimed = cast(Any, redis.xautoclaim(redis_key(STREAM), GROUP, name, CLAIM_IDLE_MS, count=limit))
        fresh = cast(Any, redis.xreadgroup(GROUP, name, {redis_key(STREAM): ">"}, count=limit))
        raw = [*claimed[1], *(fresh[0][1] if fresh else [])]
        return _readable(redis, raw)


def acknowledge(entries: Sequence[Entry]) -> int:
    """Say that these entries' letters are over, and remove the entries; how many were ours. Raises RedisUnavailable."""
    redis = redis_client()
    if redis is None or not entries:
        return 0
    ids = [entry.id for entry in entries]
    with unavailable_as_one_error():
        pipeline = redis.pipeline(transaction=True)
        pipeline.xack(redis_key(STREAM), GROUP, *ids)
        pipeline.xdel(redis_key(STREAM), *ids)
        return int(pipeline.execute()[0])


def remove_idle_consumers() -> int:
    """Forget consumers that hold nothing and have not asked for an hour: processes that are gone; how many."""
    redis = redis_client()
    if redis is None:
        return 0
    removed = 0
    with unavailable_as_one_error():
        _ensure_group(redis)
        for consumer in cast(Any, redis.xinfo_consumers(redis_key(STREAM), GROUP)):
            if consumer["pending"] == 0 and consumer["idle"] > CONSUMER_IDLE_MS:
                redis.xgroup_delconsumer(redis_key(STREAM), GROUP, consumer["name"])
                removed += 1
    return removed


def status() -> StreamStatus:
    """The stream now; unreachable when there is no Redis that answers."""
    redis = redis_client()
    if redis is None:
        return StreamStatus(is_reachable=False)
    try:
        with unavailable_as_one_error():
            _ensure_group(redis)
            [group] = [one for one in cast(Any, redis.xinfo_groups(redis_key(STREAM))) if _is_ours(one)]
            length = cast(int, redis.xlen(redis_key(STREAM)))
            return StreamStatus(
                is_reachable=True,
                length=length,
                pending=group["pending"],
                unread=max(0, length - group["pending"]),
                consumers=group["consumers"],
                poisoned=cast(int, redis.xlen(redis_key(POISON_STREAM))),
            )
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
        return StreamStatus(is_reachable=False)


def consumer_name() -> str:
    """This process's name in the group."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _add(stream: str, fields: dict[str, str | int], *, length_max: int) -> bool:
    redis = redis_client()
    if redis is None:
        return False
    try:
        with unavailable_as_one_error():
            redis.xadd(redis_key(stream), cast(Any, fields), maxlen=length_max, approximate=True)
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
        return False
    return True


def _ensure_group(redis: Redis) -> None:
    """The group from the stream's first entry on, made again after Redis forgot it."""
    try:
        redis.xgroup_create(redis_key(STREAM), GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def _readable(redis: Redis, raw: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Entry]:
    """Entries that name a letter; the others are moved to the poison stream, where somebody may see them."""
    entries = []
    for entry_id, fields in raw:
        if fields is None:
            continue  # claimed after it was deleted: the server has forgotten it with the claim
        letter = fields.get(LETTER.encode(), b"")
        if letter.startswith(b"dlq_") and letter.isascii():
            entries.append(Entry(entry_id.decode(), letter.decode()))
            continue
        strange: dict[str, str | int] = {
            "reason": "unreadable",
            "fields": repr(fields)[:500],
            "entry": entry_id.decode(),
        }
        _add(POISON_STREAM, strange, length_max=POISON_ENTRIES_MAX)
        redis.xack(redis_key(STREAM), GROUP, entry_id)
        redis.xdel(redis_key(STREAM), entry_id)
        log.error(names.BILLING_FINALIZE_POISON, reason="unreadable stream entry", entry=entry_id.decode())
    return entries


def _is_ours(group: dict[str, Any]) -> bool:
    return bool(group["name"] in (GROUP, GROUP.encode()))
