"""Answers that say what went wrong and what to do: RFC 9457 problem documents with a stable `code`.

A problem never quotes what the client sent and never shows a stack. Money may be involved anywhere, so no problem is
ever cached.
"""

import json
from collections.abc import Mapping
from typing import Final

from django.http import HttpResponse

from telemetry.configuration import loa
from telemetry.correlation import correlation_id
from telemetry.problem_codes import problem_code
from telemetry.tracing import current_trace_id

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_FACT: Final = "retry_after_seconds"
RESERVED: Final = frozenset({"type", "title", "status", "detail", "code", "correlation_id", "trace_id", "next_step"})


def problem_body(code: str, status: int | None = None, detail: str = "", **facts: object) -> dict[str, object]:
    """The problem as a mapping; `facts` are its extension members and cannot replace the standard ones."""
    known = problem_code(code, status=status or 500)
    body: dict[str, object] = {
        "type": problem_type(code),
        "title": known.title,
        "status": status or known.status,
        "detail": detail or known.title + ".",
        "code": code,
        "next_step": known.next_step,
        "correlation_id": correlation_id(),
        "trace_id": current_trace_id(),
    }
    return body | {name: value for name, value in facts.items() if name not in RESERVED}


def problem_response(
    code: str,
    status: int | None = None,
    detail: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **facts: object,
) -> HttpResponse:
    """A response with the problem `code`; without a status, the registered one.

    A fact `retry_after_seconds` (a whole number) is also sent as the header Retry-After. 401 names the scheme.
    Facts must be JSON values; amounts of money are decimal strings.
    """
    body = problem_body(code, status, detail, **facts)
    response = HttpResponse(json.dumps(body), content_type=MEDIA_TYPE, status=int(str(body["status"])))
    response["Cache-Control"] = "private, no-store"
    if RETRY_AFTER_FACT in facts:
        response["Retry-After"] = str(facts[RETRY_AFTER_FACT])
    if response.status_code == 401:
        response["WWW-Authenticate"] = 'Bearer realm="loa"'
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def problem_type(code: str) -> str:
    """The URI of the page that explains a code."""
    return f"{loa('PUBLIC_ORIGIN')}/problems/{code.replace('_', '-')}"
