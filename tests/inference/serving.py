"""The site in this process, on a port of its own, for clients that speak HTTP themselves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class _Server(ThreadedWSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what some tests are about."""


@contextmanager
def running_site() -> Iterator[str]:
    """The site's origin while it is served."""
    server = _Server(("127.0.0.1", 0), _QuietHandler)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class ScriptedUpstream(ThreadingHTTPServer):
    """A server that speaks the OpenAI interface as a test tells it: `answer(handler, asked)` writes the reply."""

    daemon_threads = True

    def __init__(self, answer: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        super().__init__(("127.0.0.1", 0), _scripted(self, answer))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections are cut on purpose."""

    def __enter__(self) -> "ScriptedUpstream":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def _scripted(server: ScriptedUpstream, answer: Any) -> type[BaseHTTPRequestHandler]:
    import json

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.keys.append(self.headers.get("Authorization", ""))
            answer(self, None)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(asked)
            server.keys.append(self.headers.get("Authorization", "") or self.headers.get("x-api-key", ""))
            answer(self, asked)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler


def event(document: Any) -> bytes:
    import json

    return b"data: " + json.dumps(document).encode() + b"\n\n"


def chunk(text: str, *, finish_reason: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}], **more})


def open_stream(handler: BaseHTTPRequestHandler) -> None:
    """The head of a streamed reply."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
