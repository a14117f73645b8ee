"""How the waitlist's pages answer: never stored, never leaking their address, and 429 in the same design."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import throttles
from waitlist.domain.errors import LinkRefused

BUCKET: Final = "waitlist"
BUCKET_OF_ALL: Final = "waitlist_all"
EVERYBODY: Final = "everybody"
PRIVATE: Final[Mapping[str, str]] = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",  # the address of a personal page is its key
    "X-Robots-Tag": "noindex",
}
PUBLIC: Final[Mapping[str, str]] = {"Cache-Control": "private, no-cache"}  # a form's seal is this minute's

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def show(
    request: HttpRequest, name: str, facts: Mapping[str, Any], *, status: int = 200, is_public: bool = False
) -> HttpResponse:
    """A page of the waitlist; unless it is public, nobody but this visitor should keep or find it."""
    answer = render(request, f"waitlist/{name}.html", dict(facts), status=status)
    for header, value in (PUBLIC if is_public else PRIVATE).items():
        answer[header] = value
    return answer


def limited(view: View[Arguments]) -> View[Arguments]:
    """Count what is sent by one client, and by all together; reading pages is free."""

    @wraps(view)
    def counted(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        verdict = throttles.check_client(BUCKET, request)
        if verdict.allowed:
            verdict = throttles.check(BUCKET_OF_ALL, EVERYBODY)
        if verdict.allowed:
            return view(request, *args, **kwargs)
        answer = show(request, "too_many", {"seconds": verdict.retry_after_seconds}, status=429)
        answer["Retry-After"] = str(verdict.retry_after_seconds)
        return answer

    return counted


def by_link(view: View[Arguments]) -> View[Arguments]:
    """Answer a link that no longer opens anything with a page that says what to do; 410, for it may once have."""

    @wraps(view)
    def opened(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except LinkRefused:
            return show(request, "old_link", {}, status=410)

    return opened
