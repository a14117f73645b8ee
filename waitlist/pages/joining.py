"""Joining: by e-mail, by wallet, and having the link sent again. The answer never depends on who is on the list."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from accounts.services.errors import SignInRefused
from waitlist.models import JoinRequest
from waitlist.pages.answers import limited, show
from waitlist.pages.consent import CONSENT_VERSION
from waitlist.pages.form_seal import new_seal
from waitlist.pages.forms import AgainForm, JoinForm, SignatureForm, WalletForm, errors_of
from waitlist.selectors.places import is_mail_slow
from waitlist.services import links, wallets
from waitlist.services.requests import take_request

UNPROCESSABLE = 422


def form_facts(request: HttpRequest) -> dict[str, Any]:
    """What the join form needs wherever it is shown."""
    friend = request.GET.get("friend", "")
    return {
        "seal": new_seal(),
        "friend": friend if friend.isascii() and friend.isalnum() and len(friend) <= 16 else "",
        "consent_version": CONSENT_VERSION,
    }


@csrf_exempt
@limited
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """`/waitlist/`: the form, and what becomes of it. CSRF: see `form_seal`."""
    if request.method != "POST":
        return show(request, "join", form_facts(request), is_public=True)
    form = JoinForm(request.POST)
    if not form.is_valid() and not form.is_trapped:
        return _typed_again(request, "join", form)
    if not form.is_trapped:
        take_request(
            form.cleaned_data["email"],
            wish=JoinRequest.Wish.JOIN,
            language=get_language() or "en",
            consent_version=CONSENT_VERSION,
            referral_code=form.cleaned_data["friend"],
        )
    return _see(reverse("waitlist-sent"))


@csrf_exempt
@limited
@require_http_methods(["GET", "HEAD", "POST"])
def again(request: HttpRequest) -> HttpResponse:
    """`/waitlist/again`: send my link once more. CSRF: see `form_seal`."""
    if request.method != "POST":
        return show(request, "again", form_facts(request))
    form = AgainForm(request.POST)
    if not form.is_valid() and not form.is_trapped:
        return _typed_again(request, "again", form)
    if not form.is_trapped:
        take_request(
            form.cleaned_data["email"],
            wish=JoinRequest.Wish.AGAIN,
            language=get_language() or "en",
            consent_version=CONSENT_VERSION,
            referral_code="",
        )
    return _see(reverse("waitlist-sent"))


@require_safe
def sent(request: HttpRequest) -> HttpResponse:
    """`/waitlist/sent`: look into your mailbox; and honestly so when the mail provider is slow."""
    return show(request, "sent", {"is_mail_slow": is_mail_slow()})


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    """`/waitlist/privacy`: the text that is agreed to."""
    return show(request, "privacy", {"consent_version": CONSENT_VERSION}, is_public=True)


@csrf_exempt
@limited
@require_http_methods(["GET", "HEAD", "POST"])
def wallet(request: HttpRequest) -> HttpResponse:
    """`/waitlist/wallet`: name a wallet, sign a message, have a place. Works by pasting as well. CSRF: `form_seal`."""
    if request.method != "POST":
        return show(request, "wallet", form_facts(request))
    if "signature" in request.POST:
        return _signed(request)
    form = WalletForm(request.POST)
    if not form.is_valid():
        return _typed_again(request, "wallet", form)
    facts = form_facts(request) | {
        "wallet": form.cleaned_data["wallet"],
        "message": wallets.message_to_sign(form.cleaned_data["wallet"]),
        "friend": form.cleaned_data["friend"],
        "seal": form.cleaned_data["seal"],
    }
    return show(request, "sign", facts)


def _signed(request: HttpRequest) -> HttpResponse:
    form = SignatureForm(request.POST)
    if not form.is_valid():
        return _typed_again(request, "sign", form, message=request.POST.get("message", ""))
    try:
        entry = wallets.join_with_wallet(
            form.cleaned_data["message"],
            form.cleaned_data["signature"].strip(),
            language=get_language() or "en",
            consent_version=CONSENT_VERSION,
            referral_code=form.cleaned_data["friend"],
        )
    except SignInRefused:
        form.add_error("signature", _("The signature does not belong to this message, or is too old. Begin again."))
        return _typed_again(request, "sign", form, message=request.POST.get("message", ""))
    return _see(reverse("waitlist-place", args=[links.token_for(entry, links.Purpose.PLACE)]))


def _typed_again(request: HttpRequest, name: str, form: Any, **facts: str) -> HttpResponse:
    typed = {field: form.data.get(field, "") for field in ("email", "wallet", "signature")}
    shown = form_facts(request) | {"friend": form.data.get("friend", "")[:16], **facts}
    if "seal" not in form.errors:
        shown["seal"] = form.data.get("seal", "")  # what was open long enough stays so
    answer = {"errors": errors_of(form), "typed": typed, "agreed": bool(form.data.get("consent"))}
    return show(request, name, shown | answer, status=UNPROCESSABLE)


def _see(address: str) -> HttpResponse:
    answer = HttpResponseRedirect(address, status=303)
    answer["Cache-Control"] = "private, no-store"
    return answer
