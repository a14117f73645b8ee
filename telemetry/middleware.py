"""Gives each request its correlation id and trace id before anything else runs, and tells them to the client."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase

from telemetry import propagation, tracing
from telemetry.correlation import correlated, correlation_id

CORRELATION_HEADER: Final = "X-Correlation-Id"


class CorrelationMiddleware:
    """First in the list. A client's own correlation id is followed when it is short and plain."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        propagation.adopt_trace_id(propagation.carrier_of(request.headers))
        with correlated(request.headers.get(CORRELATION_HEADER, "")):
            response = self._get_response(request)
            response.headers.setdefault(CORRELATION_HEADER, correlation_id())
            trace_id = tracing.current_trace_id()
            if trace_id:
                response.headers.setdefault("X-Trace-Id", trace_id)
            return response
