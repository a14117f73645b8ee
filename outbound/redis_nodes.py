"""How a Redis is reached: one server (or what Sentinel put in its place), or a cluster whose nodes share the keys.

Either client connects at its first command, gives up quickly and tries nothing twice, because nothing of value is in
Redis and its callers have another way. On a cluster every key of ours must lie in one slot where a command names
several; `LOA["REDIS_KEY_PREFIX"]` with a hash tag (`{loa}:`) sees to it.
"""

import threading
from collections.abc import Callable
from typing import Any, Final, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from telemetry.configuration import loa

REFUSALS: Final = (redis.RedisError, RedisClusterException)  # the library's second is no kind of the first


def connect(url: str, *, timeout_seconds: float, connections_max: int | None = None) -> redis.Redis:
    """A client of the Redis at `url`; no connection is made yet. `LOA["REDIS_CLUSTER"]` says which kind it is."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
    }
    if connections_max is not None:
        options["max_connections"] = connections_max
    if loa("REDIS_CLUSTER"):
        return cast(redis.Redis, _ClusterWhenAsked(url, options))
    return redis.Redis.from_url(url, health_check_interval=0, **options)


class _ClusterWhenAsked:
    """A client of a cluster that learns the cluster's layout at its first command, and anew after it lost all nodes."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url, self._options = url, options
        self._lock = threading.Lock()
        self._cluster: _Cluster | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected(), name)

    def _connected(self) -> "_Cluster":
        with self._lock:
            if self._cluster is None:
                try:
                    self._cluster = _Cluster(url=self._url, **self._options)
                except RedisClusterException as error:
                    raise redis.ConnectionError(str(error)) from error
                self._cluster.forget = self._forget
            return self._cluster

    def _forget(self) -> None:
        """A client that met no living node has crossed out all addresses it knew: only a new one finds the way back."""
        with self._lock:
            self._cluster = None


class _Cluster(RedisCluster):
    """The library's client, which tells of a lost cluster as of any lost connection."""

    forget: Any = None

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """One command. Raises redis.RedisError, as a plain client does."""
        run: Callable[..., Any] = super().execute_command
        try:
            return run(*args, **kwargs)
        except RedisClusterException as error:
            if self.forget is not None:
                self.forget()
            raise redis.ConnectionError(str(error)) from error
