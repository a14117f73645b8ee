"""The part of tracing that needs the OpenTelemetry SDK; imported only when tracing is on.

The queue towards the collector is bounded and never blocks a request: what does not fit, and what the collector did
not take, is counted in `telemetry_spans_dropped_total`.
"""

import importlib.metadata
import os
import sys
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from telemetry import names
from telemetry.configuration import loa
from telemetry.metrics import counter

QUEUE_LENGTH: Final = 2048
ATTRIBUTE_LENGTH: Final = 1024  # a hostile value cannot make a span of a megabyte
EXPORT_TIMEOUT_SECONDS: Final = 5
SHARE_VARIABLE: Final = "OTEL_TRACES_SAMPLER_ARG"
DISTRIBUTION: Final = "loa-django"
INSTRUMENTED: Final = frozenset({"django", "psycopg", "redis", "celery"})

_dropped = counter(names.SPANS_DROPPED, "Spans that never reached the collector.", labels=("reason",))


class Backlog:
    """How many spans wait for the collector; refuses more than the queue holds."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = 0
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """In a child process: what waits is the parent's, and its lock may be held by a thread that is not here."""
        self._waiting, self._lock = 0, threading.Lock()

    def admit(self) -> bool:
        with self._lock:
            if self._waiting >= self._limit:
                return False
            self._waiting += 1
            return True

    def release(self, count: int) -> None:
        with self._lock:
            self._waiting = max(0, self._waiting - count)


class CountingExporter(SpanExporter):
    """Passes spans on and counts those that the collector did not take."""

    def __init__(self, inner: SpanExporter, backlog: Backlog) -> None:
        self._inner = inner
        self._backlog = backlog

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._backlog.release(len(spans))
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            _dropped.labels(reason="collector").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class CountingBatchProcessor(BatchSpanProcessor):
    """A batch processor that counts what its full queue has no room for."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._backlog = Backlog(QUEUE_LENGTH)
        super().__init__(CountingExporter(exporter, self._backlog), max_queue_size=QUEUE_LENGTH)
        # The library starts a new sending thread in a child; a process that was never forked never comes here.
        os.register_at_fork(after_in_child=self._backlog.begin_anew)

    def on_end(self, span: ReadableSpan) -> None:
        if not span.context.trace_flags.sampled:
            return
        if self._backlog.admit():
            super().on_end(span)
        else:
            _dropped.labels(reason="queue").inc()


def start(exporter: SpanExporter | None, *, endpoint: str) -> TracerProvider:
    """Start a provider that exports to `exporter`, else to the collector at `endpoint`, else to standard output."""
    provider = TracerProvider(
        sampler=_sampler(), resource=_resource(), span_limits=SpanLimits(max_attribute_length=ATTRIBUTE_LENGTH)
    )
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    elif endpoint:
        provider.add_span_processor(CountingBatchProcessor(OTLPSpanExporter(timeout=EXPORT_TIMEOUT_SECONDS)))
    else:
        console = ConsoleSpanExporter(out=sys.stdout, formatter=lambda span: span.to_json(indent=None) + "\n")
        provider.add_span_processor(SimpleSpanProcessor(console))
    trace.set_tracer_provider(provider)
    if exporter is None:
        _instrument(provider)
    return provider


def _sampler() -> Sampler:
    """Follow the parent's decision; without a parent, keep the share in `OTEL_TRACES_SAMPLER_ARG` (all by default)."""
    return ParentBased(TraceIdRatioBased(sampled_share(os.environ.get(SHARE_VARIABLE, ""))))


def sampled_share(text: str) -> float:
    """A share between 0 and 1; what is no such number keeps everything.

    >>> sampled_share("0.25"), sampled_share(""), sampled_share("2"), sampled_share("nan"), sampled_share("x")
    (0.25, 1.0, 1.0, 1.0, 1.0)
    """
    try:
        share = float(text)
    except ValueError:
        return 1.0
    return share if 0.0 <= share <= 1.0 else 1.0


def _resource() -> Resource:
    return Resource.create(
        {
            "service.name": names.SERVICE_NAME,
            "service.version": _version(),
            "deployment.environment": loa("ENVIRONMENT"),
        }
    )


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0"  # run from a checkout that was never installed


def _instrument(provider: TracerProvider) -> None:
    """Spans of the libraries below us: HTTP server, database, Redis, tasks; those that are installed."""
    for point in importlib.metadata.entry_points(group="opentelemetry_instrumentor"):
        if point.name in INSTRUMENTED:
            point.load()().instrument(tracer_provider=provider)
