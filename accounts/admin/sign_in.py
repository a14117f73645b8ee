"""How staff sign in: name and password first, slowly for those who guess, then the second factor."""

import base64
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp import login as remember_device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import throttles
from accounts.services import second_factor, security_keys, staff_sign_in
from accounts.services.security_keys import Asked, SecurityKeyRefused
from accounts.services.staff_sign_in import Attempt

# Their own pages would show secrets and let staff hand themselves codes.
for model in (TOTPDevice, StaticDevice):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class StaffAuthenticationForm(AdminAuthenticationForm):
    """Django's form, which refuses unseen once a name was guessed at too often."""

    def clean(self) -> dict[str, Any]:
        address = "" if self.request is None else throttles.address_of(self.request)
        attempt = Attempt(self.data.get("username", ""), address)
        require_unlocked(attempt)
        try:
            return super().clean()
        except forms.ValidationError:
            staff_sign_in.record_failure(attempt, step="password")
            raise


class CodeForm(forms.Form):
    """Six digits from the app, or one of the recovery codes."""

    code = forms.CharField(
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": True}),
        help_text="Six digits from your app, or one of your recovery codes.",
    )

    def clean_code(self) -> str:
        """Spaces are for reading."""
        return str(self.cleaned_data["code"]).replace(" ", "").lower()


class KeyForm(forms.Form):
    """What a security key answered, as the page's script wrote it down."""

    answer = forms.CharField(max_length=security_keys.ANSWER_LENGTH_MAX, widget=forms.HiddenInput)


def require_unlocked(attempt: Attempt) -> None:
    """Refuse while the name is locked, without looking at what was typed. Raises forms.ValidationError."""
    wait = staff_sign_in.locked_for(attempt)
    if wait is not None:
        minutes = max(1, -(-int(wait.total_seconds()) // 60))
        raise forms.ValidationError(f"Too many attempts. Try again in {minutes} minutes.", code="locked")


def second_factor_view(request: HttpRequest) -> HttpResponse:
    """Ask for a code, or help somebody who has no second factor yet to make one."""
    user = staff_of(request)
    if user is None:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    is_made = second_factor.has_one(user)
    form = (KeyForm if "answer" in request.POST else CodeForm)(request.POST or None)
    if request.method == "POST" and form.is_valid():
        answer = _check(request, user, form=form, is_made=is_made)
        if answer is not None:
            return answer
    context = {
        **admin.site.each_context(request),
        "title": "Second factor",
        "form": form if isinstance(form, CodeForm) else CodeForm(),
        "key_errors": [one for errors in form.errors.values() for one in errors] if isinstance(form, KeyForm) else [],
        "is_made": is_made,
        "is_verified": bool(getattr(user, "otp_device", None)),
        "key_options": _key_options(request, user),
        "next": request.GET.get("next", ""),
    }
    if not is_made:
        enrolment = second_factor.begin(user)
        context |= {"secret": _in_groups(enrolment.secret), "drawing": enrolment.drawing}
    return TemplateResponse(request, "admin/second_factor.html", context)


def staff_of(request: HttpRequest) -> User | None:
    """The member of staff who gave their password in this session."""
    user = request.user
    return user if isinstance(user, User) and user.is_active and user.is_staff else None


def asked_of(request: HttpRequest, user: User) -> Asked:
    """Whom a key is asked for: this person in this session."""
    return Asked(user, request.session.session_key or "")


def _key_options(request: HttpRequest, user: User) -> str:
    """What the browser needs to ask one of the user's keys; empty when they have none, or none works here."""
    if not security_keys.are_offered() or not security_keys.keys_of(user):
        return ""
    return security_keys.options_to_sign_in(asked_of(request, user))


def _check(request: HttpRequest, user: User, *, form: CodeForm | KeyForm, is_made: bool) -> HttpResponse | None:
    """Where to go with a right code or key; None, and an error on the form, with a wrong one."""
    attempt = Attempt(user.get_username(), throttles.address_of(request))
    try:
        require_unlocked(attempt)
    except forms.ValidationError as locked:
        form.add_error("code" if isinstance(form, CodeForm) else None, locked)
        return None
    if isinstance(form, KeyForm):
        return _check_key(request, user, form=form, attempt=attempt)
    code = form.cleaned_data["code"]
    made = None if is_made else second_factor.confirm(user, code)
    device = second_factor.verify(user, code) if is_made else made and made[0]
    if not device:
        staff_sign_in.record_failure(attempt, step="code")
        form.add_error("code", "That code is not right. A code is good for half a minute and can be used once.")
        return None
    remember_device(request, device)
    if made:
        context = {**admin.site.each_context(request), "title": "Your recovery codes", "codes": made[1]}
        return TemplateResponse(request, "admin/recovery_codes.html", context)
    return HttpResponseRedirect(_next_of(request))


def _check_key(request: HttpRequest, user: User, *, form: KeyForm, attempt: Attempt) -> HttpResponse | None:
    try:
        key = security_keys.verify(asked_of(request, user), form.cleaned_data["answer"])
    except SecurityKeyRefused as refused:
        staff_sign_in.record_failure(attempt, step="key")
        form.add_error(None, refused.detail)
        return None
    remember_device(request, key)
    return HttpResponseRedirect(_next_of(request))


def _next_of(request: HttpRequest) -> str:
    wanted = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=False)
    return wanted if wanted and is_ours else reverse("admin:index")


def _in_groups(secret: bytes) -> str:
    """A secret as apps take it by hand: base 32 in groups of four."""
    text = base64.b32encode(secret).decode().rstrip("=")
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))
