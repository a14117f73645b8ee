"""What the service stands on, each asked by one short question with an end.

Required parts make the service not ready when they fail: the database, the ledger in it, a node of the default chain.
Redis is optional: payments go on without it. In recovery the service stays reachable, because what is booked is still
served, and says so. A question runs in a thread of its own, because a driver that waits for a
dead host would hold the probe longer than the orchestrator waits. Answers are kept for a second, so that a flood of
probes is not a flood of questions.
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Final

import redis
from django.db import DatabaseError, connection

from billing.domain.errors import RecoveryInProgress
from billing.services import recovery
from outbound import http
from outbound.errors import OutboundError
from outbound.redis_scripts import redis_client
from telemetry.configuration import loa

QUESTION_SECONDS: Final = 2.0
KEPT_SECONDS: Final = 1.0
THREADS: Final = 8

LEDGER_QUERY: Final = """
    SELECT NOT pg_is_in_recovery()
       AND coalesce(bool_or(has_function_privilege(p.oid, 'EXECUTE')), false)
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = 'billing' AND p.proname = 'append_batch'
"""


class PartFailed(Exception):
    """Raised when a part does not answer as it should; the text is for operators, not for strangers."""


@dataclass(frozen=True, slots=True)
class PartState:
    """What a part answered; `is_absent` is an optional part that nobody configured."""

    name: str
    is_ok: bool
    is_required: bool
    latency_ms: int
    error: str = ""
    is_absent: bool = False

    @property
    def status(self) -> str:
        """One word: ok, absent or failed."""
        return "absent" if self.is_absent else "ok" if self.is_ok else "failed"


def states() -> dict[str, PartState]:
    """The state of every part, at most a second old."""
    with _kept.lock:
        if time.monotonic() - _kept.at > KEPT_SECONDS:
            _kept.states = _ask_all()
            _kept.at = time.monotonic()
        return _kept.states


def is_ready() -> bool:
    """Whether every required part answered well."""
    return all(state.is_ok for state in states().values() if state.is_required)


def forget() -> None:
    """Ask anew at the next call."""
    with _kept.lock:
        _kept.at = float("-inf")


def ask_database() -> None:
    """One round trip."""
    _query("SELECT 1")


def ask_ledger() -> None:
    """The application may append journals, and this database is not a replica."""
    if _query(LEDGER_QUERY) is not True:
        raise PartFailed("The append function is missing, not allowed, or the database is read-only.")


def ask_recovery() -> None:
    """Money may move: nobody doubts what the database remembers."""
    try:
        is_under_way = recovery.is_under_way()
    except DatabaseError as error:
        raise PartFailed(type(error).__name__) from error
    finally:
        connection.close()
    if is_under_way:
        raise PartFailed("Money stands still until manage.py recovery_end.")


def ask_redis() -> None:
    """A ping, when there is a Redis."""
    client = redis_client()
    if client is not None:
        try:
            client.ping()
        except redis.RedisError as error:
            raise PartFailed(type(error).__name__) from error


def ask_rpc() -> None:
    """A node of the default network that says it is on that network; the first that answers is enough."""
    caip2 = loa("DEFAULT_NETWORK")
    network = loa("NETWORKS").get(caip2)
    urls = network["rpc_urls"] if network else ()
    for url in urls:
        if _chain_of(url) == int(caip2.partition(":")[2]):
            return
    raise PartFailed(f"No node of {caip2} answers.")


def _chain_of(url: str) -> int | None:
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    request = http.OutboundRequest(
        method="POST",
        url=url,
        headers={"Content-Type": "application/json"},
        body=question,
        purpose="health",
        connect_timeout_seconds=1.0,
        total_timeout_seconds=QUESTION_SECONDS / 2,
        response_bytes_max=64 * 1024,
    )
    try:
        answer = http.send(request).json()
        return int(str(answer["result"]), 16) if isinstance(answer, dict) and "result" in answer else None
    except (OutboundError, ValueError):
        return None


def _query(query: str) -> object:
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
    except DatabaseError as error:
        raise PartFailed(type(error).__name__) from error
    finally:
        connection.close()  # the thread is the pool's, the connection would never be given back
    return row[0] if row else None


PARTS: Final[dict[str, tuple[Callable[[], None], bool]]] = {
    "database": (ask_database, True),
    "ledger": (ask_ledger, True),
    "rpc": (ask_rpc, True),
    "recovery": (ask_recovery, False),
    "redis": (ask_redis, False),
}


class _Kept:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at = float("-inf")
        self.states: dict[str, PartState] = {}


_kept = _Kept()
_threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="health")


def _ask_all() -> dict[str, PartState]:
    started = time.monotonic()
    questions = {name: _threads.submit(_timed, question) for name, (question, _) in PARTS.items()}
    return {name: _state(name, asked, started + QUESTION_SECONDS) for name, asked in questions.items()}


def _state(name: str, asked: "Future[int]", deadline: float) -> PartState:
    is_required = PARTS[name][1]
    if name == "redis" and not loa("REDIS_URL"):
        return PartState(name, is_ok=True, is_required=is_required, latency_ms=0, is_absent=True)
    try:
        latency_ms = asked.result(timeout=max(0.0, deadline - time.monotonic()))
    except (PartFailed, RecoveryInProgress) as error:
        return PartState(name, is_ok=False, is_required=is_required, latency_ms=0, error=str(error))
    except FutureTimeout:
        asked.cancel()
        waited = int(QUESTION_SECONDS * 1000)
        return PartState(name, is_ok=False, is_required=is_required, latency_ms=waited, error="no answer in time")
    return PartState(name, is_ok=True, is_required=is_required, latency_ms=latency_ms)


def _timed(question: Callable[[], None]) -> int:
    started = time.monotonic()
    question()
    return int((time.monotonic() - started) * 1000)
