"""A node between the site and the chain that loses, muddles and swallows answers on command."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

GARBAGE = b"<html>502 Bad Gateway</html>"


class ChaosNode:
    """Forwards JSON-RPC to the real node. Use as a context manager, and set `mode`:

    `pass`, `gone` (every connection is dropped), `garbage` (every answer is HTML), `no_answer_to_broadcast` (the
    transaction arrives, its answer does not), `gone_after_broadcast` and `garbage_after_broadcast` (from the first
    transaction on), `swallow_broadcast` (the transaction's hash is answered, and it is never passed on).
    """

    def __init__(self, upstream: str) -> None:
        self.mode = "pass"
        self._has_broadcast = False
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "127.0.0.1", address.port or 80)
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                node.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "ChaosNode":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One exchange, as `mode` says."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        is_broadcast = b"eth_sendRawTransaction" in body
        if self.mode == "pass":
            self._has_broadcast = False
        if self.mode == "gone" or (self.mode == "gone_after_broadcast" and self._has_broadcast):
            self._drop(handler)
        elif self.mode == "garbage" or (self.mode == "garbage_after_broadcast" and self._has_broadcast):
            self._send(handler, GARBAGE)
        elif self.mode == "swallow_broadcast" and is_broadcast:
            request = json.loads(body)
            self._send(
                handler, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": "0x" + "ab" * 32}).encode()
            )
        else:
            answer = self._forward(body)
            if is_broadcast and self.mode != "pass":
                self._has_broadcast = True
                if self.mode != "garbage_after_broadcast":
                    self._drop(handler)
                    return
                answer = GARBAGE
            self._send(handler, answer)

    def _forward(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(*self._upstream, timeout=10)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def _drop(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.close()
