"""Who looks at the payer's pages: a cookie that holds the secret of a signed-in session, and nothing else.

The cookie is readable by no script, sent only to these pages, and proves nothing to a paid endpoint: those want a
bearer token or a wallet's proof for each request. Every sign-in makes a new secret, so none can be planted before it;
revoking the session in the database ends the visit with the next request.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from accounts.services.errors import SessionRefused
from accounts.services.sessions import SignedIn, TokenPair, signed_in_by_refresh
from telemetry.configuration import loa

COOKIE: Final = "loa_account"
PATH: Final = "/account/"
# The holders' pages have a cookie of their own with the same secret, because a cookie has one path.
HOLDER_COOKIE: Final = "loa_holder"
HOLDER_PATH: Final = "/onboarding/"
COOKIES: Final = ((COOKIE, PATH), (HOLDER_COOKIE, HOLDER_PATH))

Arguments = ParamSpec("Arguments")
OwnView = Callable[Concatenate[HttpRequest, SignedIn, Arguments], HttpResponse]
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def visitor_of(request: HttpRequest) -> SignedIn | None:
    """Who looks, or None."""
    try:
        return signed_in_by_refresh(request.COOKIES.get(COOKIE) or request.COOKIES.get(HOLDER_COOKIE, ""))
    except SessionRefused:
        return None


def own(view: OwnView[Arguments]) -> View[Arguments]:
    """A page for a signed-in payer; anybody else is led to the sign-in."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        visitor = visitor_of(request)
        if visitor is None:
            return see("account")
        return view(request, visitor, *args, **kwargs)

    return guarded


def begin(pair: TokenPair) -> HttpResponse:
    """The answer to a sign-in: the cookies, and the way to the page."""
    answer = see("account")
    for name, path in COOKIES:
        answer.set_cookie(
            name,
            pair.refresh_token,
            max_age=loa("SESSION_REFRESH_SECONDS"),
            path=path,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return answer


def end() -> HttpResponse:
    """The answer to a sign-out."""
    answer = see("account")
    for name, path in COOKIES:
        answer.delete_cookie(name, path=path, samesite="Lax")
    return answer


def see(name: str, *arguments: Any) -> HttpResponse:
    """Go on to a page by GET, so that a reload repeats nothing."""
    return HttpResponseRedirect(reverse(name, args=arguments), status=303)


def show(request: HttpRequest, name: str, facts: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """One of the payer's pages."""
    return render(request, f"account/{name}.html", facts, status=status)
