"""The page where a member of staff adds and removes their own security keys."""

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django_otp import login as remember_device

from accounts.admin.sign_in import KeyForm, asked_of, staff_of
from accounts.models.security_key import NAME_LENGTH_MAX
from accounts.services import second_factor, security_keys
from accounts.services.security_keys import SecurityKeyRefused


class NewKeyForm(KeyForm):
    """A name by which its owner knows the key, and the key's answer."""

    name = forms.CharField(max_length=NAME_LENGTH_MAX, help_text="How you tell it from others: “blue key”, “laptop”.")
    field_order = ("name", "answer")


class RemovalForm(forms.Form):
    """Which of one's keys goes."""

    remove = forms.IntegerField(min_value=1, max_value=2**63 - 1)


def security_keys_view(request: HttpRequest) -> HttpResponse:
    """One's own keys; whoever has a second factor shows it first."""
    user = staff_of(request)
    if user is None:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if second_factor.has_one(user) and not getattr(user, "otp_device", None):
        return HttpResponseRedirect(reverse("admin:second_factor", query={"next": request.path}))
    form = NewKeyForm(request.POST if "answer" in request.POST else None)
    if request.method == "POST" and "remove" in request.POST:
        return _remove(request, user)
    if form.is_bound and form.is_valid():
        answer = _add(request, user, form)
        if answer is not None:
            return answer
    is_offered = security_keys.are_offered()
    context = {
        **admin.site.each_context(request),
        "title": "Security keys",
        "form": form,
        "keys": security_keys.keys_of(user),
        "is_offered": is_offered,
        "options": security_keys.options_to_add(asked_of(request, user)) if is_offered else "",
    }
    return TemplateResponse(request, "admin/security_keys.html", context)


def _add(request: HttpRequest, user: User, form: NewKeyForm) -> HttpResponse | None:
    """Keep the key, and show codes with a first factor; None, and an error on the form, when it is refused."""
    try:
        key = security_keys.add(asked_of(request, user), form.cleaned_data["answer"], name=form.cleaned_data["name"])
    except SecurityKeyRefused as refused:
        form.add_error(None, refused.detail)
        return None
    if not getattr(user, "otp_device", None):
        remember_device(request, key)
    codes = second_factor.recovery_codes_beside_a_key(user)
    if codes:
        context = {**admin.site.each_context(request), "title": "Your recovery codes", "codes": codes}
        return TemplateResponse(request, "admin/recovery_codes.html", context)
    messages.success(request, f"The key “{key.name}” opens the staff pages from now on.")
    return HttpResponseRedirect(request.path)


def _remove(request: HttpRequest, user: User) -> HttpResponse:
    form = RemovalForm(request.POST)
    try:
        if not form.is_valid():
            raise SecurityKeyRefused("There is no such key.")
        security_keys.remove(user, form.cleaned_data["remove"], keeps_one=not second_factor.has_app(user))
    except SecurityKeyRefused as refused:
        messages.error(request, refused.detail)
    else:
        messages.success(request, "The key is removed. It opens nothing any more.")
    return HttpResponseRedirect(request.path)
