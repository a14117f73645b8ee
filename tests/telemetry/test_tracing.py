"""Spans (plan 12.1, 12.2): none when off, one linked tree when on, across requests and workers."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import names, propagation, tracing
from telemetry.correlation import bind_correlation_id, correlated

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REMOTE_TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    monkeypatch.setenv("OTEL_ENABLED", "true")
    spans = InMemorySpanExporter()
    assert tracing.init_tracing(spans)
    yield spans
    tracing.shutdown_tracing()


@tracing.traced(names.X402_VERIFY)
def verify() -> str:
    tracing.annotate({names.PAYMENT_ID: "pay_1", names.IS_REPLAY: False, names.TX_HASH: None})
    return "verified"


@tracing.traced(names.X402_SETTLE)
def settle() -> dict[str, str]:
    ledger()
    return tracing.inject_context()


@tracing.traced(names.X402_LEDGER)
def ledger() -> None:
    """Stands below the settlement."""


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def parent_of(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent else 0


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return context.span_id if context else 0


def test_a_payment_is_one_tree_below_the_transaction(exporter: InMemorySpanExporter) -> None:
    with tracing.transaction_span(names.X402_TRANSACTION):
        assert verify() == "verified"
        settle()

    spans = by_name(exporter)
    root = id_of(spans["x402.transaction"])
    assert spans["x402.transaction"].parent is None
    assert parent_of(spans["x402.verify"]) == root
    assert parent_of(spans["x402.settle"]) == root
    assert parent_of(spans["x402.ledger"]) == id_of(spans["x402.settle"])
    assert dict(spans["x402.verify"].attributes or {}) == {"payment_id": "pay_1", "is_replay": False}


def test_the_callers_trace_goes_before_the_quotes(exporter: InMemorySpanExporter) -> None:
    other = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"

    with tracing.transaction_span(names.X402_TRANSACTION, {"traceparent": REMOTE}, {"traceparent": other}):
        verify()

    spans = by_name(exporter)
    assert parent_of(spans["x402.transaction"]) == 0xB7AD6B7169203331
    assert {span.context.trace_id for span in spans.values() if span.context} == {REMOTE_TRACE}


def test_the_quotes_trace_is_followed_when_the_caller_has_none(exporter: InMemorySpanExporter) -> None:
    with tracing.transaction_span(names.X402_TRANSACTION, {}, {"traceparent": REMOTE}):
        assert tracing.current_trace_id() == "0af7651916cd43dd8448eb211c80319c"


def test_a_decorated_transaction_finds_its_parent_in_its_arguments(exporter: InMemorySpanExporter) -> None:
    @tracing.traced(names.X402_TRANSACTION, parent=lambda headers: propagation.carrier_of(headers))
    def pay(headers: dict[str, str]) -> str:
        return verify()

    assert pay({"traceparent": REMOTE}) == "verified"
    assert pay({}) == "verified"

    roots = [span for span in exporter.get_finished_spans() if span.name == "x402.transaction"]
    assert [parent_of(span) for span in roots] == [0xB7AD6B7169203331, 0]


def test_a_retry_in_a_worker_continues_the_stored_trace(exporter: InMemorySpanExporter) -> None:
    with tracing.transaction_span(names.X402_TRANSACTION):
        stored = settle()

    with tracing.following(stored), tracing.span(names.X402_FINALIZE, {names.ATTEMPT: 2}):
        pass

    spans = by_name(exporter)
    assert parent_of(spans["x402.finalize"]) == id_of(spans["x402.settle"])


def test_the_servers_own_span_is_linked_and_not_the_parent(exporter: InMemorySpanExporter) -> None:
    with tracing.span("GET /paid"), tracing.transaction_span(names.X402_TRANSACTION):
        pass

    spans = by_name(exporter)
    assert spans["x402.transaction"].parent is None
    assert [link.context.span_id for link in spans["x402.transaction"].links] == [id_of(spans["GET /paid"])]


def test_a_span_carries_the_correlation_id_it_ends_with(exporter: InMemorySpanExporter) -> None:
    with correlated(), tracing.transaction_span(names.X402_TRANSACTION):
        bind_correlation_id("quo_9")

    assert (by_name(exporter)["x402.transaction"].attributes or {})["correlation_id"] == "quo_9"


def test_an_exception_marks_its_span_with_its_class_and_no_words(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="0xsecret"), tracing.span(names.X402_SETTLE):
        raise ValueError("0xsecret")

    span = by_name(exporter)["x402.settle"]
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert span.status.description == "ValueError"
    assert "0xsecret" not in span.to_json()


def test_the_resource_names_the_service(exporter: InMemorySpanExporter) -> None:
    verify()

    resource = by_name(exporter)["x402.verify"].resource.attributes
    assert resource["service.name"] == "loa-finn"
    assert resource["deployment.environment"] == "test"
    assert resource["service.version"]


@pytest.mark.parametrize("value", [None, "", "false", "1", "TRUE"])
def test_only_the_exact_word_true_starts_tracing(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("OTEL_ENABLED", raising=False)
    if value is not None:
        monkeypatch.setenv("OTEL_ENABLED", value)

    assert tracing.init_tracing() is False
    assert tracing.get_tracer("x402") is None
    assert verify() == "verified"
    assert tracing.inject_context() == {}
    tracing.shutdown_tracing()


def test_with_tracing_off_the_library_is_not_even_imported() -> None:
    program = (
        "import sys, django; from django.conf import settings; settings.configure(LOA={});"
        "from telemetry import tracing, names;"
        "tracing.init_tracing(); tracing.traced(names.X402_VERIFY)(lambda: 1)();"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == "[]"


def test_the_console_exporter_writes_one_line_a_span() -> None:
    program = (
        "import os; os.environ['OTEL_ENABLED'] = 'true'; os.environ.pop('OTEL_EXPORTER_OTLP_ENDPOINT', None);"
        "from django.conf import settings; settings.configure(LOA={});"
        "from telemetry import tracing, names, tracing_sdk; tracing_sdk.INSTRUMENTED = frozenset();"
        "tracing.init_tracing(); tracing.traced(names.X402_VERIFY)(lambda: 1)(); tracing.shutdown_tracing()"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    [line] = done.stdout.splitlines()
    assert '"name": "x402.verify"' in line


@pytest.mark.parametrize(
    "hostile",
    [
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        REMOTE + "\n",
        REMOTE + "-x",
        "x" * 100_000,
    ],
)
def test_a_malformed_traceparent_is_ignored(hostile: str) -> None:
    assert propagation.carrier_of({"traceparent": hostile}) == {}


def test_an_oversized_tracestate_is_left_out() -> None:
    carrier = propagation.carrier_of({"traceparent": REMOTE, "tracestate": "a=" + "b" * 600})

    assert carrier == {"traceparent": REMOTE}
