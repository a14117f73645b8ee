"""How everything that goes wrong is told: problem documents to programs, pages to people, never a traceback.

Four entrances, one voice: exceptions of REST framework views (`exception_handler`), Django's own error handlers
(`bad_request` to `server_error`), a failed CSRF check, and the pages that explain each code under `/problems/`.
A program is whoever asks an API path, or accepts JSON before HTML.
"""

import sys
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.views import set_rollback

from billing.domain.errors import RecoveryInProgress, Retryable
from telemetry.configuration import loa
from telemetry.problem import problem_response
from telemetry.problem_codes import PROBLEM_CODES, problem_code

API_PREFIXES = ("/api/", "/v1/", "/facilitator/")
RECOVERY_SECONDS = 30
DATABASE_RETRY_SECONDS = 5  # about as long as a failover to a standby takes to be noticed
SPECIFIED = ("invalid_", "insufficient_", "unsupported_", "missing_", "extension_", "permit2_", "upto_")
PAGES = {400: "400.html", 403: "403.html", 404: "404.html", 500: "500.html"}


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """A problem for an exception of a REST framework view; None lets Django answer 500 through `server_error`."""
    set_rollback()
    if isinstance(error, Http404):
        return problem_response("not_found")
    if isinstance(error, PermissionDenied):
        return problem_response("forbidden")
    if isinstance(error, RequestDataTooBig):
        return _too_large()
    if isinstance(error, exceptions.APIException):
        return _api_problem(error, context)
    return None


def _api_problem(error: exceptions.APIException, context: dict[str, Any]) -> HttpResponse:
    match error:
        case exceptions.ValidationError():
            return problem_response("invalid_parameters", detail=_first_message(error.detail), errors=error.detail)
        case exceptions.ParseError():
            return problem_response("invalid_json", detail=str(error.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            code = str(error.get_codes())
            known = code if code in PROBLEM_CODES else "authentication_required"
            return problem_response(known, 401)
        case exceptions.PermissionDenied():
            return problem_response("forbidden")
        case exceptions.NotFound():
            return problem_response("not_found")
        case exceptions.MethodNotAllowed():
            return problem_response("method_not_allowed", headers={"Allow": _allowed(context)})
        case exceptions.NotAcceptable():
            return problem_response("not_acceptable")
        case exceptions.UnsupportedMediaType():
            return problem_response("unsupported_media_type", detail=str(error.detail))
        case exceptions.Throttled():
            return problem_response(
                "rate_limited", retry_after_seconds=max(1, round(getattr(error, "wait", None) or 1))
            )
    code = str(error.default_code)
    return problem_response(code if code in PROBLEM_CODES else "invalid_request", error.status_code, str(error.detail))


def _allowed(context: dict[str, Any]) -> str:
    view = context.get("view")
    return ", ".join(view.allowed_methods) if view is not None else ""


def _first_message(detail: Any) -> str:
    """One sentence of a nested validation error; the rest is in the fact `errors`."""
    if isinstance(detail, dict):
        field, inner = next(iter(detail.items()), ("", "A value is not acceptable."))
        message = _first_message(inner)
        return message if field in ("", "non_field_errors") else f"{field}: {message}"
    if isinstance(detail, list):
        return _first_message(detail[0]) if detail else "A value is not acceptable."
    return str(detail)


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


def problem_page(request: HttpRequest, slug: str) -> HttpResponse:
    """`/problems/{slug}`: what a code means and what to do. Reasons of the specification have a page as well."""
    code = slug.replace("-", "_")
    known = PROBLEM_CODES.get(code)
    if known is None:
        if not code.startswith(SPECIFIED):
            raise Http404
        known = problem_code(code, status=402)
    return render(request, "problems/problem.html", {"problem": known})


def problem_index(request: HttpRequest) -> HttpResponse:
    """`/problems/`: every code by its status."""
    ordered = sorted(PROBLEM_CODES.values(), key=lambda known: (known.status, known.code))
    return render(request, "problems/index.html", {"problems": ordered})


def _too_large() -> HttpResponse:
    return problem_response("payload_too_large", limit_bytes=loa("BODY_BYTES"))


def _answer(request: HttpRequest, status: int, code: str) -> HttpResponse:
    if _is_program(request):
        return problem_response(code, status)
    return render(request, PAGES[status], status=status)


def _is_program(request: HttpRequest) -> bool:
    if request.path.startswith(API_PREFIXES):
        return True
    accepted = request.headers.get("Accept", "")
    return "text/html" not in accepted and "json" in accepted
