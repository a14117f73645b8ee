"""A server that misbehaves on request, and the settings that trust it."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pytest_django.fixtures import Settings


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: "OddServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.client_address[1], self.path, dict(self.headers), body))
        getattr(self, "answer_" + self.path.strip("/").partition("?")[0])(body)

    def do_GET(self) -> None:
        self.do_POST()

    def answer_echo(self, body: bytes) -> None:
        self._send(200, body)

    def answer_redirect(self, _body: bytes) -> None:
        self._send(302, b"", Location=self.server.url + "/echo")

    def answer_gzip(self, _body: bytes) -> None:
        self._send(200, b"\x1f\x8b" + b"0" * 100, **{"Content-Encoding": "gzip"})

    def answer_page(self, _body: bytes) -> None:
        self._send(200, b"<html>fine</html>")

    def answer_short(self, _body: bytes) -> None:
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    def answer_garbage(self, _body: bytes) -> None:
        self._raw(b"\x00\x01\x02 not http\r\n\r\n")

    def answer_nothing(self, _body: bytes) -> None:
        self._raw(b"")

    def answer_slow(self, _body: bytes) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)

    def answer_dripped(self, _body: bytes) -> None:
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", closes=False)
        self._drip(b"x" * 1000)

    def answer_endless(self, _body: bytes) -> None:
        self._raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", closes=False)
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        while self._write(chunk):
            self.server.bytes_sent += len(chunk)

    def answer_events(self, _body: bytes) -> None:
        text = b"data: 1\n\ndata: 2\r\n\ndata: [DONE]"
        self._send(200, text)

    def log_message(self, *_: object) -> None:
        """A test's server is quiet."""

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _raw(self, data: bytes, *, closes: bool = True) -> None:
        self._write(data)
        self.close_connection = self.close_connection or closes

    def _drip(self, data: bytes) -> None:
        for byte in data:
            if not self._write(bytes([byte])):
                return
            time.sleep(0.02)

    def _write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True


class OddServer(ThreadingHTTPServer):
    """Answers /echo honestly and everything else in its own way; remembers (client port, path, headers, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[int, str, dict[str, str], bytes]] = []
        self.bytes_sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Clients of these tests hang up."""


@pytest.fixture
def server(settings: Settings) -> Iterator[OddServer]:
    odd = OddServer()
    threading.Thread(target=odd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [f"127.0.0.1:{odd.server_port}"]}
    yield odd
    odd.shutdown()
    odd.server_close()


@dataclass
class FakeResolver:
    """Answers for host names; each call takes the next answer, the last one stays."""

    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host == "127.0.0.1":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    """The names of a world of its own, at the edge where `outbound` asks the system."""
    fake = FakeResolver()
    monkeypatch.setattr("outbound.http.socket.getaddrinfo", fake.getaddrinfo)
    return fake
