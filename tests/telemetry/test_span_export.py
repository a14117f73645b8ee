"""A collector that is slow or gone costs spans, which are counted, and no time (faults.md 80)."""

import time
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from telemetry import names, tracing, tracing_sdk
from tests.telemetry.collector import Collector, running_collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as server:
        yield server


@pytest.fixture(autouse=True)
def _tracing_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_ENABLED", "true")
    monkeypatch.setattr(tracing_sdk, "INSTRUMENTED", frozenset())
    yield
    tracing.shutdown_tracing()


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value(names.SPANS_DROPPED, {"reason": reason}) or 0.0


def test_spans_reach_the_collector(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    assert tracing.init_tracing()

    with tracing.span(names.X402_QUOTE):
        pass
    tracing.shutdown_tracing()

    assert [span.name for span in collector.spans] == ["x402.quote"]


def test_a_silent_collector_adds_no_latency_and_the_overflow_is_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
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

    assert elapsed < 5, "one span that waited for this collector would have taken ten seconds"
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
