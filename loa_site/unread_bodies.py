"""Reads what a refused request still sends, so that its client can read the refusal.

A request that is refused by its headers (too large, wrong media type) is answered before its body was read. A server
that then closes the connection makes the client fail while it still writes: it never sees the 413. So the rest is
read and dropped, up to a bound; beyond that the connection may break, which is the client's own doing.
"""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase

DROPPED_BYTES_MAX: Final = 4 * 1024 * 1024  # a client that sends more than this ignores every limit we publish
CHUNK_BYTES: Final = 64 * 1024


class UnreadBodyMiddleware:
    """Drops the unread rest of a request's body after its answer is made. Holds at most one chunk in memory."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if response.status_code >= 400 and request.method not in ("GET", "HEAD"):
            _drop_rest(request)
        return response


def _drop_rest(request: HttpRequest) -> None:
    dropped = 0
    try:
        while dropped < DROPPED_BYTES_MAX and (chunk := request.read(CHUNK_BYTES)):
            dropped += len(chunk)
    except UnreadablePostError:
        return  # the client has gone; nobody waits for the answer
