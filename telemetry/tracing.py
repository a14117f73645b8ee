"""Spans, when somebody asked for them. With `OTEL_ENABLED` anything but `true` there are none, and no cost.

Off means off: the tracing library is not imported, `@traced` adds one comparison to a call, and every other function
here answers at once. On means batches to the collector at `OTEL_EXPORTER_OTLP_ENDPOINT`, or one JSON line a span on
standard output when that is not set. A collector that is slow or gone costs spans, which are counted, never time.

A payment is one trace although it is several requests: `transaction_span` follows the caller's `traceparent`, else the
one carried in the quote; a retry in a worker follows the context stored with its dead letter (`following`).
An exception marks its span with its class and nothing else, because messages may quote what a client sent.

Source: sprint plan 12.1, 12.2; product.md, decision 8.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from telemetry import names, propagation
from telemetry.correlation import correlation_id

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, Span, Tracer

P = ParamSpec("P")
R = TypeVar("R")
AttributeValue = str | bool | int | float

ENABLED_VARIABLE: Final = "OTEL_ENABLED"
ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"


class _Tracing:
    """Whether tracing runs in this process, and the provider it runs with."""

    def __init__(self) -> None:
        self.provider: TracerProvider | None = None


_tracing = _Tracing()
_transaction: "ContextVar[Span | None]" = ContextVar("loa_transaction_span", default=None)


def init_tracing(exporter: "SpanExporter | None" = None) -> bool:
    """Start tracing when `OTEL_ENABLED` is exactly `true`; says whether tracing runs. A second call changes nothing.

    A test passes its own exporter, which then receives each span as it ends.
    """
    if _tracing.provider is not None:
        return True
    if os.environ.get(ENABLED_VARIABLE) != "true":
        return False
    from telemetry import tracing_sdk

    _tracing.provider = tracing_sdk.start(exporter, endpoint=os.environ.get(ENDPOINT_VARIABLE, ""))
    return True


def shutdown_tracing() -> None:
    """Send what is queued and stop; does nothing when tracing does not run."""
    provider, _tracing.provider = _tracing.provider, None
    if provider is not None:
        provider.shutdown()


def is_tracing() -> bool:
    """Whether spans are made in this process."""
    return _tracing.provider is not None


def get_tracer(name: str = names.TRACER_NAME) -> "Tracer | None":
    """The tracer of that name, or None when tracing is off."""
    return None if _tracing.provider is None else _tracing.provider.get_tracer(name)


def traced(
    name: str, *, parent: Callable[..., Mapping[str, str]] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that each call is a span of that name below the current one.

    With `parent`, which finds a carrier in the call's arguments, each call is a `transaction_span` that follows it.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if _tracing.provider is None:
                return function(*args, **kwargs)
            opened = span(name) if parent is None else transaction_span(name, parent(*args, **kwargs))
            with opened:
                return function(*args, **kwargs)

        return call

    return decorate


@contextmanager
def span(name: str, attributes: Mapping[str, AttributeValue] | None = None) -> Iterator[None]:
    """Run a block as a span below the current one."""
    if _tracing.provider is None:
        yield
        return
    with _open(name, attributes=attributes, context=None, links=()):
        yield


@contextmanager
def transaction_span(
    name: str, *carriers: Mapping[str, str], attributes: Mapping[str, AttributeValue] | None = None
) -> Iterator[None]:
    """Run a block as the root of our part of a trace.

    The first carrier with a valid `traceparent` is its remote parent; without one it begins a trace. The server's own
    span of this HTTP request, if there is one, is linked instead of being the parent.
    """
    if _tracing.provider is None:
        yield
        return
    from opentelemetry import trace

    current = trace.get_current_span().get_span_context()
    links = (trace.Link(current),) if current.is_valid else ()
    with _open(name, attributes=attributes, context=_context_of(*carriers), links=links) as opened:
        token = _transaction.set(opened)
        try:
            yield
        finally:
            _transaction.reset(token)


@contextmanager
def following(carrier: Mapping[str, str]) -> Iterator[None]:
    """Run a block whose spans continue the stored trace of `carrier`; an empty or malformed carrier changes nothing."""
    if _tracing.provider is None or not propagation.trace_id_of(carrier):
        yield
        return
    from opentelemetry import context

    token = context.attach(_context_of(carrier))
    try:
        yield
    finally:
        context.detach(token)


def annotate(attributes: Mapping[str, AttributeValue | None]) -> None:
    """Put facts on the current span; None values are left out. Names come from `telemetry.names`."""
    if _tracing.provider is None:
        return
    from opentelemetry import trace

    current = trace.get_current_span()
    for name, value in attributes.items():
        if value is not None:
            current.set_attribute(name, value)


def annotate_transaction(attributes: Mapping[str, AttributeValue | None]) -> None:
    """Put facts on the root of our part of the trace as well as on the current span; None values are left out."""
    annotate(attributes)
    root = _transaction.get()
    if root is not None:
        for name, value in attributes.items():
            if value is not None:
                root.set_attribute(name, value)


def transaction_carrier() -> dict[str, str]:
    """The root of our part of the trace as a carrier: what later work is a child of. Empty when there is none."""
    root = _transaction.get()
    if root is None:
        return {}
    from opentelemetry import trace

    return _injected(trace.set_span_in_context(root))


def record_span(
    name: str, *, began_ns: int, carrier: Mapping[str, str], attributes: Mapping[str, AttributeValue]
) -> None:
    """A span of work that is over, below a stored context. Units: nanoseconds since the epoch."""
    tracer = get_tracer()
    if tracer is not None:
        tracer.start_span(name, context=_context_of(carrier), start_time=began_ns, attributes=dict(attributes)).end()


def inject_context() -> dict[str, str]:
    """The current trace as a carrier to store or send (`traceparent`, perhaps `tracestate`); empty when off."""
    return {} if _tracing.provider is None else _injected(None)


def current_trace_id() -> str:
    """The id of the current trace in 32 hex digits; with tracing off, the one adopted for this request, or empty."""
    if _tracing.provider is not None:
        from opentelemetry import trace

        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return trace.format_trace_id(context.trace_id)
    return propagation.adopted_trace_id()


@contextmanager
def _open(
    name: str, *, attributes: Mapping[str, AttributeValue] | None, context: "Context | None", links: "tuple[Link, ...]"
) -> "Iterator[Span]":
    """A span that carries the correlation id it ends with and, when its block raised, the class of what was raised."""
    from opentelemetry import trace

    tracer = get_tracer()
    if tracer is None:
        return
    with tracer.start_as_current_span(
        name,
        context=context,
        attributes=dict(attributes or {}),
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_attribute(names.ERROR_TYPE, type(error).__name__)
            opened.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            if correlation_id():
                opened.set_attribute(names.CORRELATION_ID, correlation_id())


def _injected(context: "Context | None") -> dict[str, str]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context=context)
    return carrier


def _context_of(*carriers: Mapping[str, str]) -> "Context":
    """A context whose parent is the first valid carrier, or an empty one."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    for carrier in carriers:
        if propagation.trace_id_of(carrier):
            return TraceContextTextMapPropagator().extract(dict(carrier), context=Context())
    return Context()
