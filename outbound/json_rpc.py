"""JSON-RPC over `outbound`: one call or a batch per round trip, several nodes, bounded time and size.

An error says what may have happened. `NothingSent`: no byte left this process, so no node can have acted. `RpcRefused`:
a node understood the call and declined it. `OutcomeUnknown`: bytes may have left and no usable answer came back; for a
transaction that means it may be mined (rules R5 and R17). Reads go to the next node when one fails, and so do signed
transactions, whose bytes name themselves: sending them twice is sending them once.
"""

import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from outbound import errors, http

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Call: TypeAlias = tuple[str, Sequence[object]]

TIMEOUT_SECONDS: Final = 10.0
REST_SECONDS: Final = 5.0  # a node that failed is asked last for this long
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024  # a full batch's receipt is below 1 MiB, the logs of a range may be more
MAX_BATCH: Final = 100  # public nodes refuse larger ones
LIMIT_EXCEEDED: Final = -32005
_OVERLOADED: Final = frozenset({408, 429, 500, 502, 503, 504})


class RpcFailure(Exception):
    """Raised when a call has no result. Its subclasses say whether a node may have acted."""


class NothingSent(RpcFailure):
    """Raised when no connection could be made to any node: nothing can have happened."""


class OutcomeUnknown(RpcFailure):
    """Raised when bytes may have reached a node and no usable answer came back."""


class RpcRefused(RpcFailure):
    """Raised when a node answered with an error. `code`, `message` and `data` are the node's."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data


Outcome: TypeAlias = "Json | RpcRefused"


class RpcClient:
    """Calls to one network's nodes, in the order given; a failing node rests while others answer. Thread-safe."""

    def __init__(self, urls: Sequence[str], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        if not urls:
            raise ValueError("a network needs the URL of at least one node")
        self._urls = tuple(urls)
        self._timeout_seconds = timeout_seconds
        self._ids = itertools.count(1)
        self._resting_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def call(self, method: str, params: Sequence[object] = (), *, timeout_seconds: float | None = None) -> Json:
        """The result of one call. Raises RpcRefused, NothingSent or OutcomeUnknown."""
        identifier = next(self._ids)
        answer = self._exchange(_request(identifier, method=method, params=params), timeout_seconds)
        if not isinstance(answer, dict):
            raise OutcomeUnknown("the node's answer is not a JSON-RPC response")
        return _result_of(answer)

    def batch(self, calls: Sequence[Call], *, timeout_seconds: float | None = None) -> list[Json]:
        """The results of several calls, in their order. Raises what `call` raises, for the first that failed."""
        outcomes = self.outcomes(calls, timeout_seconds=timeout_seconds)
        results: list[Json] = []
        for outcome in outcomes:
            if isinstance(outcome, RpcRefused):
                raise outcome
            results.append(outcome)
        return results

    def outcomes(self, calls: Sequence[Call], *, timeout_seconds: float | None = None) -> list[Outcome]:
        """Like `batch`, with each call's own refusal in its place. Raises NothingSent or OutcomeUnknown for all."""
        outcomes: list[Outcome] = []
        for start in range(0, len(calls), MAX_BATCH):
            outcomes += self._one_batch(calls[start : start + MAX_BATCH], timeout_seconds)
        return outcomes

    def _one_batch(self, calls: Sequence[Call], timeout_seconds: float | None) -> list[Outcome]:
        identifiers = [next(self._ids) for _ in calls]
        requests = [
            _request(identifier, method=method, params=params)
            for identifier, (method, params) in zip(identifiers, calls, strict=True)
        ]
        answer = self._exchange(requests, timeout_seconds)
        if not isinstance(answer, list):
            if isinstance(answer, dict) and "error" in answer:
                raise _refusal_of(answer["error"])
            raise OutcomeUnknown("the node's answer is not a JSON-RPC batch")
        by_identifier = {
            item["id"]: item for item in answer if isinstance(item, dict) and isinstance(item.get("id"), int)
        }
        missing = [identifier for identifier in identifiers if identifier not in by_identifier]
        if missing:
            raise OutcomeUnknown(f"the node left {len(missing)} calls of a batch unanswered")
        return [_outcome_of(by_identifier[identifier]) for identifier in identifiers]

    def _exchange(self, document: object, timeout_seconds: float | None) -> Json:
        """Ask node after node until one gives a usable answer or the time is up."""
        body = json.dumps(document, separators=(",", ":")).encode("ascii")
        deadline = time.monotonic() + (timeout_seconds or self._timeout_seconds)
        was_sent = False
        reasons: list[str] = []
        for url in self._by_health():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            try:
                answer = self._ask(url, body=body, timeout_seconds=remaining)
            except errors.NothingSent as error:
                reasons.append(str(error))
            except (errors.OutcomeUnknown, _Unusable) as error:
                was_sent = True
                reasons.append(str(error))
            else:
                self._resting_until.pop(url, None)
                return answer
            self._resting_until[url] = time.monotonic() + REST_SECONDS
        summary = "; ".join(reasons) or "the time was up"
        if was_sent:
            raise OutcomeUnknown(summary)
        raise NothingSent(summary)

    def _ask(self, url: str, *, body: bytes, timeout_seconds: float) -> Json:
        response = http.send(
            http.OutboundRequest(
                "POST",
                url,
                headers={"Content-Type": "application/json"},
                body=body,
                purpose="rpc",
                connect_timeout_seconds=min(timeout_seconds, http.CONNECT_TIMEOUT_SECONDS),
                read_timeout_seconds=timeout_seconds,
                total_timeout_seconds=timeout_seconds,
                response_bytes_max=MAX_ANSWER_BYTES,
            )
        )
        try:
            answer: Json = json.loads(response.body)
        except (ValueError, RecursionError):
            raise _Unusable(f"a node answered HTTP {response.status} without JSON") from None
        if response.status in _OVERLOADED or (isinstance(answer, dict) and _is_limit(answer.get("error"))):
            raise _Unusable(f"a node is overloaded (HTTP {response.status})")
        return answer

    def _by_health(self) -> list[str]:
        now = time.monotonic()
        with self._lock:
            return sorted(self._urls, key=lambda url: self._resting_until.get(url, 0.0) > now)


class _Unusable(Exception):
    """Raised when a node answered with nothing a caller could use; the next node may do better."""


def _request(identifier: int, *, method: str, params: Sequence[object]) -> Mapping[str, object]:
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": list(params)}


def _outcome_of(answer: Mapping[str, Json]) -> Outcome:
    try:
        return _result_of(answer)
    except RpcRefused as refusal:
        return refusal


def _result_of(answer: Mapping[str, Json]) -> Json:
    if answer.get("error") is not None:
        raise _refusal_of(answer["error"])
    if "result" not in answer:
        raise OutcomeUnknown("the node's answer has neither result nor error")
    return answer["result"]


def _refusal_of(error: Json) -> RpcRefused:
    if not isinstance(error, dict):
        return RpcRefused(0, str(error))
    code = error.get("code")
    return RpcRefused(code if isinstance(code, int) else 0, str(error.get("message", "")), error.get("data"))


def _is_limit(error: Json) -> bool:
    return isinstance(error, dict) and error.get("code") == LIMIT_EXCEEDED


def number_of(value: Json) -> int:
    """A quantity as nodes write it (`0x1f`). Raises OutcomeUnknown for anything else: the answer cannot be read."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise OutcomeUnknown("a node's quantity is not hex")
    try:
        return int(value, 16)
    except ValueError:
        raise OutcomeUnknown("a node's quantity is not hex") from None


def bytes_of(value: Json) -> bytes:
    """Bytes as nodes write them. Raises OutcomeUnknown for anything else: the answer cannot be read."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise OutcomeUnknown("a node's data is not hex")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise OutcomeUnknown("a node's data is not hex") from None
