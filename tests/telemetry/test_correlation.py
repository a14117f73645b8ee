"""Each request has a correlation id and a trace id, with tracing off as well, and tells them to the client."""

import json
import threading
from collections.abc import Callable

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from telemetry.correlation import bind_correlation_id, correlated, correlation_id
from telemetry.middleware import CorrelationMiddleware
from telemetry.problem import problem_response

TRACE = "0af7651916cd43dd8448eb211c80319c"


View = Callable[[HttpRequest], HttpResponse]


def refuse(_request: HttpRequest) -> HttpResponse:
    return problem_response("not_found")


def answer(view: View = refuse, **headers: str) -> HttpResponse:
    response = CorrelationMiddleware(view)(RequestFactory().get("/", headers=headers))
    assert isinstance(response, HttpResponse)
    return response


def test_a_problem_carries_the_callers_trace_and_a_fresh_correlation_id() -> None:
    response = answer(traceparent=f"00-{TRACE}-b7ad6b7169203331-01")

    body = json.loads(response.content)
    assert body["trace_id"] == TRACE == response["X-Trace-Id"]
    assert body["correlation_id"].startswith("req_")
    assert response["X-Correlation-Id"] == body["correlation_id"]


def test_a_request_without_a_trace_gets_one_of_its_own() -> None:
    assert len({answer()["X-Trace-Id"] for _ in range(5)}) == 5


@pytest.mark.parametrize(("given", "kept"), [("order-7", True), ("a b", False), ("x" * 65, False), ("a\tb", False)])
def test_a_clients_correlation_id_is_followed_when_it_is_short_and_plain(given: str, kept: bool) -> None:
    assert (answer(**{"X-Correlation-Id": given})["X-Correlation-Id"] == given) is kept


def test_the_quotes_id_becomes_the_correlation_id_of_the_rest() -> None:
    def quote(_request: HttpRequest) -> HttpResponse:
        bind_correlation_id("quo_1")
        return HttpResponse(correlation_id())

    response = answer(quote)

    assert (response.content, response["X-Correlation-Id"]) == (b"quo_1", "quo_1")
    assert correlation_id() == ""


def test_threads_do_not_see_each_others_id() -> None:
    seen: list[str] = []
    with correlated("quo_here"):
        thread = threading.Thread(target=lambda: seen.append(correlation_id()))
        thread.start()
        thread.join()

    assert seen == [""]
