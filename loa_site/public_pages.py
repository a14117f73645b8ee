"""Pages and files that belong to the site as a whole: the first page, the choice of language, robots, security.txt."""

from datetime import timedelta
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django.views.i18n import set_language

from telemetry.configuration import loa
from waitlist.pages.joining import form_facts

SECURITY_TXT_LIFETIME: Final = timedelta(days=180)
CLOSED_TO_ROBOTS: Final = ("/admin/", "/account/", "/onboarding/", "/api/", "/v1/", "/facilitator/", "/waitlist/place/")

# Remembers a language and nothing else, and only when asked: no CSRF token, so that the public pages need no cookie.
choose_language = csrf_exempt(set_language)


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """`/`: what this is, what a payer can count on, and the way onto the waitlist."""
    answer = render(request, "landing.html", form_facts(request))
    answer["Cache-Control"] = "private, no-cache"  # the form's seal is this visitor's and this minute's
    return answer


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """`/robots.txt`: public pages may be found, personal ones not."""
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in CLOSED_TO_ROBOTS)]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


@require_safe
def security_txt(request: HttpRequest) -> HttpResponse:
    """`/.well-known/security.txt`: whom to tell of a weakness. Source: RFC 9116."""
    origin = loa("PUBLIC_ORIGIN")
    expires = (timezone.now() + SECURITY_TXT_LIFETIME).replace(microsecond=0)
    lines = [
        f"Contact: {loa('SECURITY_CONTACT') or origin + '/docs/guide/security'}",
        f"Expires: {expires.isoformat().replace('+00:00', 'Z')}",
        "Preferred-Languages: en, de",
        f"Canonical: {origin}/.well-known/security.txt",
        f"Policy: {origin}/docs/guide/security",
    ]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
