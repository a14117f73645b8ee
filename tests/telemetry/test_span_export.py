"""A collector that is slow or gone costs spans, which are counted, and no time (faults.md 80)."""

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import REGISTRY

from telemetry import names, tracing, tracing_sdk


class CollectorServer(ThreadingHTTPServer):
    """Remembers the spans it took; while `is_silent`, it answers nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.received: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class CollectorHandler(BaseHTTPRequestHandler):
    server: CollectorServer

    def do_POST(self) -> None:
        self.server.may_answer.wait(10)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        batch = ExportTraceServiceRequest.FromString(body)
        scopes = [scope for resource in batch.resource_spans for scope in resource.scope_spans]
        self.server.received.extend(span.name for scope in scopes for span in scope.spans)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A test's server is quiet."""


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    server = CollectorServer()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.may_answer.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _tracing_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_ENABLED", "true")
    monkeypatch.setattr(tracing_sdk, "INSTRUMENTED", frozenset())
    yield
    tracing.shutdown_tracing()


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value(names.SPANS_DROPPED, {"reason": reason}) or 0.0


def test_spans_reach_the_collector(collector: CollectorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    assert tracing.init_tracing()

    with tracing.span(names.X402_QUOTE):
        pass
    tracing.shutdown_tracing()

    assert collector.received == ["x402.quote"]


def test_a_silent_collector_adds_no_latency_and_the_overflow_is_counted(
    collector: CollectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setattr(tracing_sdk, "QUEUE_LENGTH", 64)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64")
    collector.may_answer.clear()
    before = dropped("queue")
    assert tracing.init_tracing()

    started = time.monotonic()
    for _ in range(300):
        with tracing.span(names.X402_VERIFY):
            pass
    elapsed = time.monotonic() - started

    assert elapsed < 0.5
    assert dropped("queue") - before >= 300 - 2 * 64
    collector.may_answer.set()
    tracing.shutdown_tracing()


def test_spans_that_the_collector_did_not_take_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(tracing_sdk, "EXPORT_TIMEOUT_SECONDS", 0.2)
    before = dropped("collector")
    assert tracing.init_tracing()

    with tracing.span(names.X402_VERIFY):
        pass
    tracing.shutdown_tracing()

    assert dropped("collector") - before == 1
