"""Redis as we use it: optional, quick to give up, and asked by scripts that do one thing atomically.

Nothing of value is in Redis, so a script that cannot run answers None and the caller goes on without. After a failure
Redis is left alone for a moment: a black hole must not cost each request its timeout.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import redis
from redis.commands.core import Script

from outbound import redis_nodes
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

TIMEOUT_SECONDS: Final = 0.2  # a call to Redis may cost a request this much, once (faults.md 24 allows 250 ms)
REST_SECONDS: Final = 1.0
CONNECTIONS_MAX: Final = 64

Answer = TypeVar("Answer")
ScriptAnswer = list[int | bytes] | int | bytes | None
log = get_logger(__name__)


class _Connections:
    """One client per URL, and until when each is left alone."""

    def __init__(self) -> None:
        self.clients: dict[str, redis.Redis] = {}
        self.lock = threading.Lock()
        self.resting_until: dict[str, float] = {}


_connections = _Connections()


def redis_client() -> redis.Redis | None:
    """The process's client of `REDIS_URL` with short timeouts and no retries, or None when there is no Redis."""
    url = loa("REDIS_URL")
    if not url:
        return None
    with _connections.lock:
        client = _connections.clients.get(url)
        if client is None:
            client = _connections.clients[url] = redis_nodes.connect(
                url, timeout_seconds=TIMEOUT_SECONDS, connections_max=CONNECTIONS_MAX
            )
    return client


def is_resting() -> bool:
    """Whether Redis failed a moment ago and is left alone."""
    return time.monotonic() < _connections.resting_until.get(loa("REDIS_URL"), 0.0)


def rest(error: Exception) -> None:
    """Leave Redis alone for a moment; said once each time."""
    if not is_resting():
        log.warning(names.REDIS_UNAVAILABLE, reason=type(error).__name__)
    _connections.resting_until[loa("REDIS_URL")] = time.monotonic() + REST_SECONDS


def wake() -> None:
    """Ask Redis again at the next call."""
    _connections.resting_until.clear()


def ask(question: Callable[[redis.Redis], Answer]) -> Answer | None:
    """What Redis answers to one question, or None when there is none, it does not answer in time, or it refuses."""
    client = redis_client()
    if client is None or is_resting():
        return None
    try:
        return question(client)
    except redis_nodes.REFUSALS as error:
        rest(error)
        return None


class SharedScript:
    """A Lua script that runs when Redis is there. Survives a restart of Redis: an unknown script is loaded again."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._scripts: dict[int, Script] = {}

    def run(self, keys: Sequence[str], arguments: Sequence[str | int]) -> ScriptAnswer:
        """The script's answer, or None when there is no Redis, it does not answer in time, or it refuses to write."""

        def run(client: redis.Redis) -> ScriptAnswer:
            script = self._scripts.get(id(client))
            if script is None:
                script = self._scripts[id(client)] = client.register_script(self._source)
            answer: ScriptAnswer = script(keys=list(keys), args=list(arguments))
            return answer

        return ask(run)
