"""How everything that goes wrong is told: problem documents to programs, pages to people, never a traceback.

Django's own error handlers (`bad_request` to `server_error`) and a failed CSRF check. Exceptions of REST framework
views are told by `accounts.api.problems`; the pages that explain each code are `x402.api.problem_pages`.
A program is whoever asks an API path, or accepts JSON before HTML.
"""

import sys

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.domain.errors import RecoveryInProgress, Retryable
from telemetry.configuration import loa
from telemetry.problem import problem_response

API_PREFIXES = ("/api/", "/v1/", "/facilitator/")
RECOVERY_SECONDS = 30
DATABASE_RETRY_SECONDS = 5  # about as long as a failover to a standby takes to be noticed
PAGES = {400: "400.html", 403: "403.html", 404: "404.html", 500: "500.html"}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: what cannot be read; a body above the limit is 413."""
    if isinstance(exception, RequestDataTooBig):
        return _too_large()
    return _answer(request, 400, "invalid_request")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return _answer(request, 403, "forbidden")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return _answer(request, 404, "not_found")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. Says nothing of the cause, which is in the log under the correlation id.

    A database that cannot be reached, or was replaced meanwhile, is not a fault of this request: 503, and try again.
    """
    if isinstance(sys.exc_info()[1], RecoveryInProgress):
        return problem_response("recovery_in_progress", retry_after_seconds=RECOVERY_SECONDS)
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError | Retryable):
        return problem_response("service_unavailable", retry_after_seconds=DATABASE_RETRY_SECONDS)
    return _answer(request, 500, "internal_error")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    return _answer(request, 403, "csrf_failed")


def _too_large() -> HttpResponse:
    return problem_response("payload_too_large", limit_bytes=loa("BODY_BYTES"))


def _answer(request: HttpRequest, status: int, code: str) -> HttpResponse:
    if is_program(request):
        return problem_response(code, status)
    return render(request, PAGES[status], status=status)


def is_program(request: HttpRequest) -> bool:
    """Whether a program asks: an API path, or JSON before HTML."""
    if request.path.startswith(API_PREFIXES):
        return True
    accepted = request.headers.get("Accept", "")
    return "text/html" not in accepted and "json" in accepted
