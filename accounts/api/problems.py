"""What goes wrong in REST framework views, as problem documents (named in `REST_FRAMEWORK["EXCEPTION_HANDLER"]`)."""

from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.views import set_rollback

from telemetry.configuration import loa
from telemetry.problem import problem_response
from telemetry.problem_codes import PROBLEM_CODES


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """A problem for an exception of a REST framework view; None lets Django answer 500 through `server_error`."""
    set_rollback()
    if isinstance(error, Http404):
        return problem_response("not_found")
    if isinstance(error, PermissionDenied):
        return problem_response("forbidden")
    if isinstance(error, RequestDataTooBig):
        return problem_response("payload_too_large", limit_bytes=loa("BODY_BYTES"))
    if isinstance(error, exceptions.APIException):
        return _api_problem(error, context)
    return None


def _api_problem(error: exceptions.APIException, context: dict[str, Any]) -> HttpResponse:
    match error:
        case exceptions.ValidationError():
            return problem_response("invalid_parameters", detail=first_message(error.detail), errors=error.detail)
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


def first_message(detail: Any) -> str:
    """One sentence of a nested validation error; the rest is in the fact `errors`."""
    if isinstance(detail, dict):
        field, inner = next(iter(detail.items()), ("", "A value is not acceptable."))
        message = first_message(inner)
        return message if field in ("", "non_field_errors") else f"{field}: {message}"
    if isinstance(detail, list):
        return first_message(detail[0]) if detail else "A value is not acceptable."
    return str(detail)
