"""The demonstration model as an OpenAI-compatible HTTP server, for developers and tests of upstreams by URL.

`POST /v1/chat/completions`, whole or as a stream, and `GET /v1/models`. It is no public service: it binds one loopback
address and trusts its callers.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from inference.demo import model
from inference.domain.chat import ChatRequest
from inference.domain.errors import InvalidChatRequest
from inference.domain.openai_request import parse_openai_request

HOST = "127.0.0.1"
BODY_BYTES_MAX = 1_048_576


class DemoHandler(BaseHTTPRequestHandler):
    """Answers one chat per request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """List the one model."""
        if self.path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": model.NAME, "object": "model", "owned_by": "loa"}]})
        else:
            self._send(404, {"error": {"message": "not found", "type": "invalid_request_error"}})

    def do_POST(self) -> None:
        """Complete a chat, or say what is wrong in the shape OpenAI uses."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/v1/chat/completions" or not 0 < length <= BODY_BYTES_MAX:
            self._send(404, {"error": {"message": "not found", "type": "invalid_request_error"}})
            return
        try:
            asked = parse_openai_request(json.loads(self.rfile.read(length)))
        except (ValueError, InvalidChatRequest):
            self._send(400, {"error": {"message": "cannot be read", "type": "invalid_request_error"}})
            return
        made = _answer(asked)
        if asked.is_stream:
            self._stream(made)
        else:
            self._send(200, _completion(made))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: prompts do not belong into logs."""

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, made: model.DemoAnswer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for document in _documents(made):
            self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


def demo_server(port: int) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving; port 0 takes a free one."""
    return ThreadingHTTPServer((HOST, port), DemoHandler)


def _answer(asked: ChatRequest) -> model.DemoAnswer:
    return model.answer(
        asked.messages, max_tokens=asked.max_tokens or 512, tools=asked.tools, options=dict(asked.options)
    )


def _completion(made: model.DemoAnswer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": made.text or None}
    if made.tool_calls:
        message["tool_calls"] = [call.to_json() for call in made.tool_calls]
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "model": model.NAME,
        "choices": [{"index": 0, "message": message, "finish_reason": made.finish_reason}],
        "usage": _usage(made),
    }


def _documents(made: model.DemoAnswer) -> Iterator[dict[str, Any]]:
    """The events of a stream: the role, the parts, the reason it ended, the usage."""
    yield _chunk({"role": "assistant", "content": ""})
    for index, call in enumerate(made.tool_calls):
        yield _chunk({"tool_calls": [{"index": index, **call.to_json()}]})
    for token in made.tokens:
        yield _chunk({"content": token})
    yield _chunk({}, finish_reason=made.finish_reason)
    yield {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "choices": [], "usage": _usage(made)}


def _chunk(delta: dict[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "model": model.NAME, "choices": [choice]}


def _usage(made: model.DemoAnswer) -> dict[str, int]:
    return {
        "prompt_tokens": made.usage.input_tokens,
        "completion_tokens": made.usage.output_tokens,
        "total_tokens": made.usage.input_tokens + made.usage.output_tokens,
    }
