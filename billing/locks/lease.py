"""The lease of a stream in Redis: one writer at a time, for thirty seconds, extended while it lives.

`SET NX PX 30000`, extended every ten seconds, deleted only by the holder that set it. A lease is not yet the right
to write: that comes when its holder has advanced the stream's row in Postgres with its first token (rule R8).
"""

from typing import Final

from redis import Redis

from billing.locks.fencing import fence_keys
from billing.locks.redis_client import unavailable_as_one_error
from billing.locks.scripts import Script

LEASE_MILLISECONDS: Final = 30_000
KEEPALIVE_SECONDS: Final = 10.0  # two extensions may be lost before the lease is

LEASE_EXTEND: Final = Script("lease_extend")
LEASE_RELEASE: Final = Script("lease_release")


def take_lease(redis: Redis, *, stream: int, holder: str, milliseconds: int = LEASE_MILLISECONDS) -> bool:
    """Whether the stream's lease is `holder`'s now: it was free, or was this holder's before.

    Raises RedisUnavailable.
    """
    key = fence_keys(stream).lease
    with unavailable_as_one_error():
        if redis.set(key, holder, nx=True, px=milliseconds):
            return True
    return extend_lease(redis, stream=stream, holder=holder, milliseconds=milliseconds)


def extend_lease(redis: Redis, *, stream: int, holder: str, milliseconds: int = LEASE_MILLISECONDS) -> bool:
    """Whether the lease was still `holder`'s and now lasts `milliseconds` from now. Raises RedisUnavailable."""
    reply = LEASE_EXTEND.run(redis, keys=[fence_keys(stream).lease], arguments=[holder, milliseconds])
    return reply == 1


def release_lease(redis: Redis, *, stream: int, holder: str) -> bool:
    """Whether the lease was `holder`'s and is free now; a successor's lease is left alone. Raises RedisUnavailable."""
    reply = LEASE_RELEASE.run(redis, keys=[fence_keys(stream).lease], arguments=[holder])
    return reply == 1
