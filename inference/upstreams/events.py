"""Calls to upstreams over `outbound`, and their server-sent events, with every failure told in our own words.

A stall ends by the read timeout, an endless answer by the size and the total time; no redirect is followed. What an
upstream says about a failure is not repeated: it may hold the prompt or a part of a key.
Source: WHATWG HTML, "Server-sent events"; only the fields `data` and `event` are used here.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from inference.domain.errors import UpstreamGarbage, UpstreamMisconfigured, UpstreamRefused, UpstreamUnavailable
from outbound import http
from outbound.errors import AnswerRefused, OutboundError

TIMEOUT_SECONDS: Final = 45.0  # below the 50 s after which a worker is told to stop
STREAM_STALL_SECONDS: Final = 30.0  # no model thinks longer between two tokens of one answer
STREAM_SECONDS: Final = 600.0  # an answer that takes longer is cut and charged as far as it came
OVERLOADED: Final = frozenset({408, 409, 425, 429})
OURS_TO_MEND: Final = frozenset({401, 403, 404})  # a key or a model's name that this site has wrong
EVENT_STREAM: Final = "text/event-stream"
JSON: Final = "application/json"
DONE: Final = b"[DONE]"


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """One call to an upstream called `name`."""

    name: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, object] | None = None

    def request(self, *, is_stream: bool) -> http.OutboundRequest:
        """The call as `outbound` takes it."""
        return http.OutboundRequest(
            method="GET" if self.body is None else "POST",
            url=self.url,
            headers={"Content-Type": JSON, "Accept": EVENT_STREAM if is_stream else JSON, **self.headers},
            body=None if self.body is None else json.dumps(self.body).encode(),
            purpose="upstream",
            read_timeout_seconds=STREAM_STALL_SECONDS if is_stream else TIMEOUT_SECONDS,
            total_timeout_seconds=STREAM_SECONDS if is_stream else TIMEOUT_SECONDS,
        )


def status_of(call: UpstreamCall) -> int:
    """The status of the answer. Raises UpstreamUnavailable, UpstreamGarbage."""
    with _told_by(call.name):
        return http.send(call.request(is_stream=False)).status


def answer_of(call: UpstreamCall) -> object:
    """The JSON answer to a call. Raises UpstreamUnavailable, UpstreamRefused, UpstreamGarbage."""
    with _told_by(call.name):
        response = http.send(call.request(is_stream=False))
        require_success(call.name, response.status)
        return response.json()


@contextmanager
def events_of(call: UpstreamCall) -> Iterator[Iterator[object]]:
    """The JSON documents of a stream, as they arrive; a plain JSON answer counts as a stream of one.

    Raises as `answer_of`, also while it is read.
    """
    with _told_by(call.name), http.stream(call.request(is_stream=True)) as response:
        require_success(call.name, response.status)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == EVENT_STREAM:
            yield _documents(call.name, response)
        elif media_type == JSON:
            whole = http.OutboundResponse(response.status, response.headers, b"".join(response.chunks()))
            yield iter([whole.json()])
        else:
            raise UpstreamGarbage(call.name, "the answer is no stream of events")


def require_success(name: str, status: int) -> None:
    """Tell a failure by its status. Raises UpstreamUnavailable, UpstreamMisconfigured or UpstreamRefused."""
    if status == 200:
        return
    if status >= 500 or status in OVERLOADED:
        raise UpstreamUnavailable(name, f"answered {status}")
    if status in OURS_TO_MEND:
        raise UpstreamMisconfigured(name, f"answered {status}")
    raise UpstreamRefused(name, f"answered {status}")


def _documents(name: str, response: http.StreamedResponse) -> Iterator[object]:
    """What each event's `data` says, until `[DONE]` or the end. Errors of the wire are told as the upstream's."""
    pending: list[bytes] = []
    with _told_by(name):
        for line in response.lines():
            if line.startswith(b"data:"):
                pending.append(line[5:].removeprefix(b" "))
            elif not line and pending:
                data, pending = b"\n".join(pending), []
                if data.strip() == DONE:
                    return
                yield _document(name, data)
        if pending and b"\n".join(pending).strip() != DONE:
            yield _document(name, b"\n".join(pending))


def _document(name: str, data: bytes) -> object:
    try:
        return http.json_of(data)
    except AnswerRefused as error:
        raise UpstreamGarbage(name, "an event is not JSON") from error


@contextmanager
def _told_by(name: str) -> Iterator[None]:
    try:
        yield
    except AnswerRefused as error:
        raise UpstreamGarbage(name, error.reason) from error
    except OutboundError as error:
        raise UpstreamUnavailable(name, error.reason) from error
