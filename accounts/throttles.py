"""How often someone may ask: one sliding minute per bucket and subject, counted in Redis by one atomic script.

Without Redis each process counts for itself with the same figure: looser across processes, never a refusal by mistake.
Buckets and figures are `LOA["RATE_LIMITS"]`: key, wallet, challenge, csp_report, sign_in. Subjects are stored hashed.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.http import HttpRequest

from accounts.addresses import client_address, rate_limit_address
from outbound.redis_scripts import SharedScript
from telemetry import names
from telemetry.configuration import loa, redis_key
from telemetry.metrics import counter

WINDOW_MS: Final = 60_000
SUBJECTS_MAX: Final = 20_000  # subjects one process remembers without Redis; the one unseen for longest is forgotten

_script = SharedScript((Path(__file__).parent / "lua" / "sliding_window.lua").read_text(encoding="utf-8"))
_hits = counter(names.RATE_LIMIT_HITS, "Requests refused by a rate limit.", labels=("bucket",))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and when the next one may."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int


class LocalWindows:
    """The same sliding window for one process, for the time without Redis."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, subject: str, *, limit: int, now_ms: int) -> tuple[bool, int, int]:
        """(allowed, remaining, wait_ms) of one more request."""
        window, elapsed = divmod(now_ms, WINDOW_MS)
        with self._lock:
            last, current, previous = self._windows.get(subject, (-1, 0, 0))
            if last != window:
                previous, current = (current if last == window - 1 else 0), 0
            used = -(-previous * (WINDOW_MS - elapsed) // WINDOW_MS) + current
            if used >= limit:
                return False, 0, WINDOW_MS - elapsed
            self._windows[subject] = (window, current + 1, previous)
            self._windows.move_to_end(subject)
            while len(self._windows) > SUBJECTS_MAX:
                self._windows.popitem(last=False)
        return True, limit - used - 1, 0


_local = LocalWindows()


def check(bucket: str, subject: str, *, limit: int | None = None) -> Verdict:
    """Count one request of `subject` (a wallet, a key, a client's address) against a bucket: may it go on?

    `limit` is a figure of the subject's own, instead of the bucket's. Raises KeyError for a bucket that has no figure.
    """
    limit = loa("RATE_LIMITS")[bucket] if limit is None else limit
    hashed = hashlib.sha256(subject.encode()).hexdigest()[:32]
    key = redis_key(f"rate:{loa('ENVIRONMENT')}:{bucket}:{hashed}")
    answer = _script.run([key], [limit, WINDOW_MS])
    if isinstance(answer, Sequence) and not isinstance(answer, bytes):
        allowed, remaining, wait_ms = (int(figure) for figure in answer)
    else:
        now_ms = time.monotonic_ns() // 1_000_000
        allowed, remaining, wait_ms = _local.count(key, limit=limit, now_ms=now_ms)
    if not allowed:
        _hits.labels(bucket=bucket).inc()
    return Verdict(bool(allowed), limit, remaining, retry_after_seconds=max(1, -(-wait_ms // 1000)))


def address_of(request: HttpRequest) -> str:
    """The client of a request as the limits see it; proxies are believed as far as `TRUSTED_PROXY_COUNT` says."""
    return rate_limit_address(
        client_address(
            request.META.get("REMOTE_ADDR", ""),
            request.META.get("HTTP_X_FORWARDED_FOR", ""),
            trusted_proxies=loa("TRUSTED_PROXY_COUNT"),
        )
    )


def check_client(bucket: str, request: HttpRequest) -> Verdict:
    """Count one request against a bucket by its client's address."""
    return check(bucket, address_of(request))
