"""Answers as clients of the OpenAI interface read them, whole and as server-sent events.

Ours is under the member `loa`: the payment, the price version, what was quoted and charged; clients keep members they
do not know. Source: OpenAI API reference, "The chat completion object" and "The chat completion chunk object".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inference.domain.chat import ToolCall
from inference.domain.prices import Usage
from inference.upstreams.base import CallPiece, Piece

DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What all parts of one answer have in common. Units: `created` is Unix seconds."""

    id: str
    model: str
    created: int

    def completion(
        self, text: str, calls: tuple[ToolCall, ...], *, finish_reason: str, usage: Usage, loa: Mapping[str, object]
    ) -> dict[str, object]:
        """A whole answer."""
        message: dict[str, object] = {"role": "assistant", "content": text or None, "refusal": None}
        if calls:
            message["tool_calls"] = [call.to_json() for call in calls]
        choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
        return self._document("chat.completion", [choice], usage=usage_document(usage), loa=dict(loa))

    def opening(self) -> bytes:
        """The first event: who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def part(self, piece: Piece) -> bytes:
        """What a piece brought."""
        delta: dict[str, object] = {"content": piece.text} if piece.text else {}
        if piece.calls:
            delta["tool_calls"] = [_call_part(call) for call in piece.calls]
        return self._chunk(delta)

    def ending(self, finish_reason: str) -> bytes:
        """The event that says why the answer ended."""
        return self._chunk({}, finish_reason=finish_reason)

    def account(self, usage: Usage, *, loa: Mapping[str, object]) -> bytes:
        """The event after the answer: its usage and what it cost."""
        return _event(self._document("chat.completion.chunk", [], usage=usage_document(usage), loa=dict(loa)))

    def _chunk(self, delta: Mapping[str, object], *, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return _event(self._document("chat.completion.chunk", [choice]))

    def _document(self, kind: str, choices: list[dict[str, object]], **more: object) -> dict[str, object]:
        head: dict[str, object] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return head | {"choices": choices, **more}


def error_document(message: str, *, code: str, status: int, param: str | None = None) -> dict[str, object]:
    """The member `error` of a refusal, by whose `type` and `code` clients tell errors apart."""
    return {"message": message, "type": _error_type(status), "param": param or None, "code": code}


def error_event(error: Mapping[str, object]) -> bytes:
    """An error within a stream, which clients raise."""
    return _event({"error": dict(error)})


def usage_document(usage: Usage) -> dict[str, int]:
    """Units: tokens."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _error_type(status: int) -> str:
    by_status = {401: "authentication_error", 402: "payment_required", 403: "permission_error", 429: "rate_limit_error"}
    return by_status.get(status, "invalid_request_error" if status < 500 else "api_error")


def _call_part(call: CallPiece) -> dict[str, object]:
    function: dict[str, str] = {"arguments": call.arguments}
    if not call.name:
        return {"index": call.index, "function": function}
    return {"index": call.index, "id": call.id, "type": "function", "function": {"name": call.name, **function}}


def _event(document: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
