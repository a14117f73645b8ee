"""What staff may do from a page that otherwise only shows: a link, a page that asks once for a reason, and the act.

An act is offered to those who have its permission, while the row is in a state in which it makes sense; the service
decides again when it is done. The confirmation carries a token that is taken once (`services.staff_acts`), so that a
double click does it once and says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from billing.admin.read_only import ReadOnlyAdmin
from billing.admin.sections import Link
from billing.domain.errors import BillingError
from billing.services import staff_acts
from billing.services.staff_acts import AlreadyDone, Ask

Perform = Callable[[Any, Ask], str]


class ReasonForm(forms.Form):
    """Why, and the token of this confirmation."""

    reason = forms.CharField(
        max_length=staff_acts.REASON_LENGTH_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept in the audit log with your name. Nothing can change it afterwards.",
    )
    token = forms.CharField(max_length=64, widget=forms.HiddenInput)


@dataclass(frozen=True, slots=True)
class Act:
    """One thing staff may do to a row. `perform` gets the row and the wish, and says what came of it.

    `commits_itself` marks acts that cannot be part of a transaction around them (journals, circuits).
    """

    name: str
    title: str
    explanation: str
    permission: str
    perform: Perform
    is_offered: Callable[[Any], bool] = lambda _row: True
    commits_itself: bool = False


class ActingAdmin(ReadOnlyAdmin):
    """A read-only page with acts."""

    acts: ClassVar[Sequence[Act]] = ()

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        view = self.admin_site.admin_view(self.act_view)
        return [path("<path:object_id>/act/<slug:act_name>/", view, name=name), *super().get_urls()]

    def offered(self, row: Any, request: HttpRequest) -> list[Link]:
        """Links to what this member of staff may do to this row now."""
        return [
            Link(act.title, self.act_url(row, act))
            for act in self.acts
            if request.user.has_perm(act.permission) and act.is_offered(row)
        ]

    def act_url(self, row: Any, act: Act) -> str:
        """The confirmation page of an act."""
        label = f"{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"admin:{label}_act", args=[quote(row.pk), act.name])

    def links_of(self, row: Any, request: HttpRequest) -> Sequence[Link]:
        return (*self.offered(row, request), *self.ways_from(row, request))

    def ways_from(self, row: Any, request: HttpRequest) -> Sequence[Link]:
        """Links to related pages."""
        return ()

    def act_view(self, request: HttpRequest, object_id: str, act_name: str) -> HttpResponse:
        """Ask for a reason, then do it once."""
        act = next((one for one in self.acts if one.name == act_name), None)
        if act is None:
            raise Http404("There is no such act.")
        if not request.user.has_perm(act.permission) or not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"No {self.opts.verbose_name} has that id.")
        form = ReasonForm(request.POST or None, initial={"token": staff_acts.new_token()})
        if request.method == "POST" and form.is_valid():
            self._do(request, act, row=row, form=form)
            return HttpResponseRedirect(self._row_url(row))
        return confirmation(request, self, act=act, back=Link(str(row), self._row_url(row)), form=form)

    def _row_url(self, row: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(row.pk)])

    def _do(self, request: HttpRequest, act: Act, *, row: Any, form: ReasonForm) -> None:
        ask = Ask(
            token=form.cleaned_data["token"],
            actor=request.user.get_username(),
            act=f"{self.opts.model_name}.{act.name}",
            subject=str(row.pk),
            reason=form.cleaned_data["reason"],
        )
        tell(request, ask, lambda: act.perform(row, ask), commits_itself=act.commits_itself)


def tell(request: HttpRequest, ask: Ask, perform: Callable[[], str], *, commits_itself: bool) -> None:
    """Do what was confirmed, and say above the next page what came of it."""
    do = staff_acts.do_once_outside if commits_itself else staff_acts.do_once
    try:
        messages.success(request, do(ask, perform))
    except AlreadyDone:
        messages.info(request, "That was done already; this confirmation was sent twice.")
    except BillingError as refusal:
        facts = ", ".join(f"{name}: {value}" for name, value in refusal.facts.items())
        messages.error(request, f"Nothing was done: {refusal.code}. {facts}"[:500])


def confirmation(
    request: HttpRequest, page: ReadOnlyAdmin, *, act: Act, back: Link, form: ReasonForm
) -> TemplateResponse:
    """The page that asks once."""
    context = {
        **page.admin_site.each_context(request),
        "title": act.title,
        "explanation": act.explanation,
        "confirm": act.title,
        "subject": back.text,
        "back_url": back.url,
        "form": form,
        "opts": page.opts,
    }
    return TemplateResponse(request, "admin/act.html", context)
