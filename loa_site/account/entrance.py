"""Signing in and out. A wallet in the browser does it with two presses; without one the message is signed elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import throttles
from accounts.api.views import BUCKET
from accounts.services import sessions
from accounts.services.errors import SignInRefused
from accounts.services.sign_in_expectations import MESSAGE_LENGTH_MAX, SIGNATURE_LENGTH_MAX, site_expectation
from accounts.services.sign_in_texts import sign_in_text
from loa_site.account import visits
from loa_site.account.overview import overview

STATEMENT = "Sign in to Loa to see your payments and credit. This moves no money."


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """`/account/`: the payer's page, or the way to sign in."""
    visitor = visits.visitor_of(request)
    return visits.show(request, "sign_in", {}) if visitor is None else overview(request, visitor)


@require_POST
def message(request: HttpRequest) -> HttpResponse:
    """`/account/message`: the text that a wallet is asked to sign."""
    wallet = request.POST.get("wallet", "")[:60].strip()
    try:
        text = sign_in_text(wallet, expected=site_expectation(), statement=STATEMENT)
    except ValueError:
        mistake = _("A wallet's address is 0x and 40 letters and digits from 0 to f.")
        return visits.show(request, "sign_in", {"mistake": mistake, "wallet": wallet}, status=422)
    return visits.show(request, "sign", {"message": text})


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """`/account/sign-in`: a signed message for a visit. A signature serves once."""
    verdict = throttles.check_client(BUCKET, request)
    if not verdict.allowed:
        answer = visits.show(request, "sign_in", {"mistake": _("Too many tries. Wait a minute.")}, status=429)
        answer["Retry-After"] = str(verdict.retry_after_seconds)
        return answer
    text = request.POST.get("message", "")[: MESSAGE_LENGTH_MAX * 2].replace("\r\n", "\n")
    try:
        pair = sessions.sign_in(text, request.POST.get("signature", "")[: SIGNATURE_LENGTH_MAX + 1].strip())
    except SignInRefused:
        mistake = _("The signature does not belong to this message, or is too old. Begin again.")
        return visits.show(request, "sign_in", {"mistake": mistake}, status=422)
    return visits.begin(pair)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """`/account/sign-out`: ends the session itself, not only the cookie."""
    visitor = visits.visitor_of(request)
    if visitor is not None:
        sessions.revoke_family(visitor.family)
    return visits.end()
