"""The one HTTP client: bounded in time and size, without redirects, and never into our own network.

A URL that somebody else chose is resolved here, all its addresses are judged, and the connection is pinned to a judged
one, with the host name kept for TLS and the Host header. Hosts that the settings name (RPC nodes, upstreams, the
facilitator, `OUTBOUND_TRUSTED_HOSTS`) are ours to choose and may be private. Compressed answers are not asked for and
not taken, so that the size bound is the real size. Connections are kept alive per address.

Errors answer one question: `NothingSent` means that no byte left, `OutcomeUnknown` that the peer may have acted.
"""

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from outbound.address_filter import Target, UrlRefused, public_addresses, target_of
from outbound.connections import ConnectionPools, current_deadline
from outbound.deadlines import Deadline, watchdog
from outbound.errors import AddressRefused, AnswerRefused, NothingSent, OutboundError, OutcomeUnknown
from telemetry import names, tracing
from telemetry.configuration import loa
from telemetry.logging import get_logger
from telemetry.metrics import counter, histogram

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0
TOTAL_TIMEOUT_SECONDS: Final = 30.0
CHUNK_BYTES: Final = 64 * 1024
LINE_BYTES_MAX: Final = 1024 * 1024
_LOOKS_LIKE_A_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
ADDRESSES_TRIED_MAX: Final = 3
USER_AGENT: Final = "loa-finn/1"

log = get_logger(__name__)
_requests = counter(names.OUTBOUND_REQUESTS, "Calls that left the process.", labels=("purpose", "outcome"))
_seconds = histogram(names.OUTBOUND_SECONDS, "Time until the answer was read.", labels=("purpose",))
_pools = ConnectionPools()


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One call. `purpose` is a constant of the caller's ("rpc", "upstream", "facilitator"): it labels metrics.

    `is_own_choice` says that the person at the keyboard named this address, which may then be a private one.
    `is_strangers_choice` says that somebody outside named it: then even a host of the settings has to be public.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    purpose: str = "other"
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    total_timeout_seconds: float = TOTAL_TIMEOUT_SECONDS
    response_bytes_max: int | None = None
    is_own_choice: bool = False
    is_strangers_choice: bool = False


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """A complete answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON. Raises AnswerRefused."""
        return json_of(self.body)


class StreamedResponse:
    """An answer that is read while it arrives, inside `stream`."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, *, deadline: Deadline, bytes_max: int) -> None:
        self._raw = raw
        self._deadline = deadline
        self._bytes_max = bytes_max
        self.status = raw.status
        self.headers = {name.lower(): value for name, value in raw.headers.items()}

    def chunks(self) -> Iterator[bytes]:
        """Parts of the body as they come. Raises OutcomeUnknown when it is cut, AnswerRefused when it is too large."""
        read = 0
        while True:
            try:
                chunk = self._raw.read1(CHUNK_BYTES)
            except (HTTPError, OSError) as error:
                raise _cut(self._deadline) from error
            if not chunk:
                if self._deadline.expired:
                    raise _cut(self._deadline)
                return
            read += len(chunk)
            if read > self._bytes_max:
                raise AnswerRefused(f"The answer is larger than {self._bytes_max} bytes.")
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """Lines of the body without their ends, as server-sent events need them."""
        pending = b""
        for chunk in self.chunks():
            *complete, pending = (pending + chunk).split(b"\n")
            for line in complete:
                yield line.rstrip(b"\r")
            if len(pending) > LINE_BYTES_MAX:
                raise AnswerRefused(f"A line of the answer is longer than {LINE_BYTES_MAX} bytes.")
        if pending:
            yield pending.rstrip(b"\r")


def json_of(data: bytes) -> object:
    """What a stranger's JSON says. Half a surrogate pair, which no UTF-8 can say again, becomes U+FFFD.

    Raises AnswerRefused when it is not JSON or nests without end.
    """
    try:
        parsed: object = json.loads(data.decode("utf-8-sig"))
        if _LOOKS_LIKE_A_SURROGATE.search(data):
            text = json.dumps(parsed, ensure_ascii=False)
            parsed = json.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except (ValueError, RecursionError) as error:
        raise AnswerRefused("The answer is not JSON.") from error
    return parsed


def send(request: OutboundRequest) -> OutboundResponse:
    """Make a call and read its whole answer, whatever its status.

    Raises NothingSent (AddressRefused) or OutcomeUnknown (AnswerRefused); nothing else.
    """
    with stream(request) as response:
        return OutboundResponse(response.status, response.headers, b"".join(response.chunks()))


@contextmanager
def stream(request: OutboundRequest) -> Iterator[StreamedResponse]:
    """Make a call and give the answer as it arrives; the connection is reused only when it was read to its end.

    Raises as `send`. The total timeout covers the block, so a stream sets a generous one.
    """
    started, outcome = time.monotonic(), "failed"
    deadline = watchdog.watch(request.total_timeout_seconds)
    try:
        with tracing.span(names.OUTBOUND_REQUEST, {names.HTTP_METHOD: request.method}):
            raw = _open(request, deadline)
            tracing.annotate({names.HTTP_STATUS: raw.status})
            try:
                bytes_max = request.response_bytes_max or loa("OUTBOUND_RESPONSE_BYTES")
                yield StreamedResponse(raw, deadline=deadline, bytes_max=bytes_max)
                outcome = f"{raw.status // 100}xx"
            finally:
                deadline.finish()
                _release(raw)
    except OutboundError as error:
        outcome = error.code
        event = names.OUTBOUND_REFUSED if isinstance(error, AddressRefused) else names.OUTBOUND_FAILED
        log.warning(event, purpose=request.purpose, code=error.code, reason=error.reason, host=error.host)
        raise
    finally:
        deadline.finish()
        _requests.labels(purpose=request.purpose, outcome=outcome).inc()
        _seconds.labels(purpose=request.purpose).observe(time.monotonic() - started)


def is_trusted(target: Target) -> bool:
    """Whether the settings name this host: such a host may have a private address."""
    return target.origin in _trusted_origins()


def _open(request: OutboundRequest, deadline: Deadline) -> urllib3.BaseHTTPResponse:
    """The first answer of an address of the target. Another address is tried only while nothing was sent."""
    try:
        target = target_of(request.url)
    except UrlRefused as error:
        raise AddressRefused(str(error)) from error
    trusted = request.is_own_choice or (is_trusted(target) and not request.is_strangers_choice)
    addresses = [target.host] if trusted else _judged_addresses(target)
    for position, address in enumerate(addresses, start=1):
        try:
            return _exchange(request, target, address=address, deadline=deadline)
        except NothingSent:
            if position == len(addresses):
                raise
    raise NothingSent("The host has no address.", host=target.host)


def _exchange(
    request: OutboundRequest, target: Target, *, address: str, deadline: Deadline
) -> urllib3.BaseHTTPResponse:
    headers = {
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        **({} if address != target.host else tracing.inject_context()),
        **request.headers,
        "Host": target.host_header,
    }
    timeout = urllib3.Timeout(connect=request.connect_timeout_seconds, read=request.read_timeout_seconds)
    token = current_deadline.set(deadline)
    try:
        response = _pools.pool(target, address).urlopen(
            request.method,
            target.path,
            body=request.body,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
    except (HTTPError, OSError, ValueError) as error:
        raise _cut(deadline, host=target.host) from error
    finally:
        current_deadline.reset(token)
    if response.headers.get("Content-Encoding", "identity") not in ("identity", ""):
        response.close()
        raise AnswerRefused("The answer is compressed, which was not asked for.", host=target.host)
    return response


def _judged_addresses(target: Target) -> list[str]:
    """The addresses of a host that is not trusted, all of them public. Raises AddressRefused or NothingSent."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NothingSent("The host name cannot be resolved.", host=target.host) from error
    addresses = public_addresses(str(entry[4][0]) for entry in found)
    if not addresses:
        raise AddressRefused("The host has an address that is not public.", host=target.host)
    return addresses[:ADDRESSES_TRIED_MAX]


def _trusted_origins() -> frozenset[str]:
    """`host:port` of everything the settings tell us to call."""
    origins = set()
    for named in loa("OUTBOUND_TRUSTED_HOSTS"):
        origins |= {named} if ":" in named else {f"{named}:80", f"{named}:443"}
    urls = [url for network in loa("NETWORKS").values() for url in network.get("rpc_urls", ())]
    urls += [str(upstream["base_url"]) for upstream in loa("UPSTREAMS").values() if "base_url" in upstream]
    urls.append(loa("FACILITATOR_URL"))
    return frozenset(origins | {target_of(url).origin for url in urls if url})


def _release(raw: urllib3.BaseHTTPResponse) -> None:
    """Give a connection back that was read to its end; close one that was not."""
    if raw.closed:
        raw.release_conn()
    else:
        raw.close()


def _cut(deadline: Deadline, *, host: str = "") -> OutcomeUnknown:
    reason = "The time for the call was up." if deadline.expired else "The connection was cut or timed out."
    return OutcomeUnknown(reason, host=host)
