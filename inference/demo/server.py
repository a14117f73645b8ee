"""The demonstration model as an OpenAI-compatible HTTP server, for developers and tests of upstreams by URL.

One endpoint, `POST /v1/chat/completions`, without streaming. It is no public service: it binds one loopback
address and trusts its callers.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from inference.demo import model
from inference.domain.chat import Message

HOST = "127.0.0.1"
BODY_BYTES_MAX = 1_048_576


class DemoHandler(BaseHTTPRequestHandler):
    """Answers one chat per request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Complete a chat, or say what is wrong in the shape OpenAI uses."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/v1/chat/completions" or not 0 < length <= BODY_BYTES_MAX:
            self._send(404, {"error": {"message": "not found", "type": "invalid_request_error"}})
            return
        try:
            status, answer = 200, _completion(json.loads(self.rfile.read(length)))
        except (ValueError, KeyError, TypeError, IndexError):
            status, answer = 400, {"error": {"message": "cannot be read", "type": "invalid_request_error"}}
        self._send(status, answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: prompts do not belong into logs."""

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def demo_server(port: int) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving; port 0 takes a free one."""
    return ThreadingHTTPServer((HOST, port), DemoHandler)


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    messages = tuple(Message(str(message["role"]), str(message["content"])) for message in asked["messages"])
    made = model.answer(messages, max_tokens=int(asked["max_tokens"]))
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "model": model.NAME,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": made.text},
                "finish_reason": made.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": made.usage.input_tokens,
            "completion_tokens": made.usage.output_tokens,
            "total_tokens": made.usage.input_tokens + made.usage.output_tokens,
        },
    }
