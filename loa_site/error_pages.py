"""What a person sees when something is refused: a page in the site's design, whatever part of it refused.

Services and middleware answer with problem documents or with nothing but a status. That is right for programs; a
person in a browser gets the same facts as a page, with the same status and headers.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from loa_site.problems import is_program
from telemetry.problem import MEDIA_TYPE
from telemetry.problem_codes import PROBLEM_CODES, ProblemCode

KEPT_HEADERS: Final = ("Allow", "Retry-After", "WWW-Authenticate", "Cache-Control", "Vary")
USUAL_CODES: Final = {
    400: "invalid_request",
    401: "authentication_required",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "wrong_state",
    410: "answer_expired",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "invalid_parameters",
    429: "rate_limited",
    431: "header_too_large",
    502: "facilitator_refused",
    503: "service_unavailable",
}

PAYMENT_REQUIRED, PAYMENT_SIGNATURE = "PAYMENT-REQUIRED", "PAYMENT-SIGNATURE"


class ErrorPageMiddleware:
    """Turns a refusal without a page into one, for those who asked for HTML."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if response.status_code < 400 or response.streaming or "text/html" not in request.headers.get("Accept", ""):
            return response
        if not isinstance(response, HttpResponse) or is_program(request) or _is_about_a_payment(request, response):
            return response
        problem = _problem_of(response)
        return response if problem is None else _page(request, response, problem)


def _is_about_a_payment(request: HttpRequest, response: HttpResponse) -> bool:
    """Terms keep their headers and their own page, and the script of that page reads what became of a payment."""
    return response.has_header(PAYMENT_REQUIRED) or PAYMENT_SIGNATURE in request.headers


def _problem_of(response: HttpResponse) -> ProblemCode | None:
    """What a response without a page of its own refuses; None when it has one."""
    code: Any = None
    if response.headers.get("Content-Type", "").startswith(MEDIA_TYPE):
        code = json.loads(response.content).get("code")
    elif response.content:
        return None
    return PROBLEM_CODES.get(str(code)) or PROBLEM_CODES.get(USUAL_CODES.get(response.status_code, "internal_error"))


def _page(request: HttpRequest, response: HttpResponse, problem: ProblemCode) -> HttpResponse:
    seconds = response.headers.get("Retry-After", "")
    facts = {"problem": problem, "status": response.status_code, "seconds": int(seconds) if seconds.isdigit() else 0}
    page = render(request, "errors/error.html", facts, status=response.status_code)
    for name in KEPT_HEADERS:
        if name in response.headers:
            page.headers[name] = response.headers[name]
    page.cookies = response.cookies
    return page
