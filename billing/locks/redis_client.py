"""The one way from the ledger to Redis: optional, prefixed, and never slower than a quarter of a second.

Without a REDIS_URL there is no client, and that is a supported way to run. Every failure that says "not now"
(connection, time-out, OOM, READONLY, LOADING, CLUSTERDOWN) becomes RedisUnavailable, so that a caller has one
thing to catch and one way on.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from billing.locks.errors import RedisUnavailable
from outbound import redis_nodes
from telemetry.configuration import loa

TIMEOUT_SECONDS = 0.25  # a payment waits no longer for a service it can do without


def redis_client() -> Redis | None:
    """This process's client, or None where no Redis is configured. It connects at its first command."""
    url = loa("REDIS_URL")
    return _client(url, os.getpid(), loa("REDIS_CLUSTER")) if url else None


@contextmanager
def unavailable_as_one_error() -> Iterator[None]:
    """Turn any refusal of Redis inside the block into RedisUnavailable."""
    try:
        yield
    except (*redis_nodes.REFUSALS, OSError) as error:
        raise RedisUnavailable(f"{type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=8)
def _client(url: str, process_id: int, is_cluster: bool) -> Redis:
    # The process id is part of the cache's key: a forked worker must not share its parent's sockets.
    del process_id, is_cluster
    return redis_nodes.connect(url, timeout_seconds=TIMEOUT_SECONDS)
