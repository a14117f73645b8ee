"""Bodies that arrive slowly hold a thread each; this bounds how many threads they can hold.

The web server hands a request over when its headers are complete, and no setting of it ends a body that never does. So
a body is read here, before anything else is done, and only so many may be on their way at once: of one client, and of
all. Whoever is above that is told to come back; requests without a body never are. A small body is read whole and its
place is free again at once; what announces more than `BODY_BYTES` keeps its place until it is answered.

A proxy in front that buffers requests does the same better; this holds where there is none.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase

from accounts.throttles import address_of
from telemetry.configuration import loa
from telemetry.problem import problem_response

RETRY_AFTER_SECONDS = 1


class TooManyBodies(Exception):
    """Raised when a client, or all together, have as many bodies on their way as they may."""


class Places:
    """Whose bodies are on their way in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken_by(self, client: str) -> Iterator[None]:
        """Hold a place for the block. Raises TooManyBodies."""
        with self._lock:
            if self._taken[client] >= loa("BODIES_PER_CLIENT") or self._taken.total() >= loa("BODIES_PER_PROCESS"):
                raise TooManyBodies(client)
            self._taken[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[client] -= 1
                if not self._taken[client]:
                    del self._taken[client]


class ArrivingBodiesMiddleware:
    """Reads each body under a place of its client's. Stands before all that may read one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._places = Places()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        announced = _announced_bytes(request)
        if not announced:
            return self._get_response(request)
        try:
            with self._places.taken_by(address_of(request)):
                if announced > loa("BODY_BYTES"):
                    return self._get_response(request)
                _read(request)
        except TooManyBodies:
            return problem_response(
                "rate_limited", 429, "Too many bodies are on their way.", retry_after_seconds=RETRY_AFTER_SECONDS
            )
        except UnreadablePostError:
            return problem_response("invalid_body", 400, "The body ended before it was complete.")
        return self._get_response(request)


def _read(request: HttpRequest) -> None:
    """Take the body in, which the request then keeps. What Django's own limit refuses is left to who wants it."""
    with suppress(RequestDataTooBig):
        len(request.body)


def _announced_bytes(request: HttpRequest) -> int:
    """What `Content-Length` says; 0 where it says nothing that can be read, which nobody then reads."""
    announced = request.META.get("CONTENT_LENGTH") or ""
    return int(announced) if announced.isascii() and announced.isdigit() else 0
