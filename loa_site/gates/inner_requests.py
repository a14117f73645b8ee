"""Requests to our own addresses inside the process: through every middleware and the real views, without a socket."""

import functools
import json
from collections.abc import Mapping
from typing import Final

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.http import HttpResponseBase
from django.test import RequestFactory

from loa_site.gates.outcome import ProbeFailed
from telemetry.configuration import loa

CLIENT_ADDRESS: Final = "127.0.0.1"


@functools.cache
def _handler() -> BaseHandler:
    handler = BaseHandler()
    handler.load_middleware()
    return handler


def ask(method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> HttpResponseBase:
    """The site's answer to a request, as a client of the public origin would get it."""
    scheme, _, origin_host = loa("PUBLIC_ORIGIN").partition("://")
    named = [host for host in settings.ALLOWED_HOSTS if "*" not in host and not host.startswith(".")]
    factory = RequestFactory(headers={"host": named[0] if named else origin_host, **(headers or {})})
    content = b"" if body is None else json.dumps(body).encode()
    request = factory.generic(
        method,
        path,
        content,
        content_type="application/json",
        secure=scheme == "https",
        REMOTE_ADDR=CLIENT_ADDRESS,
    )
    return _handler().get_response(request)


def require_status(response: HttpResponseBase, expected: int, *, asked: str) -> None:
    """Raise ProbeFailed unless the answer has the one status that means that it works."""
    if response.status_code != expected:
        raise ProbeFailed(f"{asked} answered {response.status_code}, not {expected}.")


def json_of(response: HttpResponseBase, *, asked: str) -> dict[str, object]:
    """The answer's JSON object. Raises ProbeFailed."""
    try:
        document = json.loads(getattr(response, "content", b""))
    except ValueError as error:
        raise ProbeFailed(f"{asked} answered no JSON.") from error
    if not isinstance(document, dict):
        raise ProbeFailed(f"{asked} answered no JSON object.")
    return document
