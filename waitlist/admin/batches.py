"""Inviting the next people on the list, and what became of each batch."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from billing.admin.formats import identifier_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, shown_as, url_of
from telemetry.identifiers import new_id
from waitlist.models import Entry, InviteBatch
from waitlist.models.entry import EntryState
from waitlist.services.invitations import BATCH_MAX, start_batch

BATCH_ID = r"^inv_[0-9A-Z]{26}$"


class InviteForm(forms.Form):
    """How many, why, and the form's own id, which makes a second press find the first one's batch."""

    wanted = forms.IntegerField(
        label="How many", min_value=1, max_value=BATCH_MAX, help_text="From the front of the line."
    )
    reason = forms.CharField(label="Reason", max_length=200, help_text="Kept in the audit log.")
    batch_id = forms.RegexField(regex=BATCH_ID, widget=forms.HiddenInput)


@admin.register(InviteBatch)
class InviteBatchAdmin(ReadOnlyAdmin):
    keyset = ("created_at", "id")
    found_by = ("created_by",)
    found_by_prefix = ("id",)
    change_list_template = "admin/invite_batches.html"
    search_help_text = "Batch id or its beginning, or exactly who invited."
    list_display = ("identifier", "wanted", "invited", "created_by", "created", "finished")
    fields = ("identifier", "wanted", "invited", "created_by", "reason", "created", "finished")

    identifier = shown_as(lambda row: identifier_of(row.id), "batch")
    created = shown_as(lambda row: moment_of(row.created_at), "begun")
    finished = shown_as(lambda row: moment_of(row.finished_at), "finished")

    def get_urls(self) -> list[URLPattern]:
        invite = path("invite/", self.admin_site.admin_view(self.invite_view), name="waitlist_invitebatch_invite")
        return [invite, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = {"may_invite": request.user.has_perm("waitlist.invite")}
        return super().changelist_view(request, may | (extra_context or {}))

    def invite_view(self, request: HttpRequest) -> HttpResponse:
        """Ask how many and why, then leave the work to the worker."""
        if not request.user.has_perm("waitlist.invite"):
            raise PermissionDenied
        form = InviteForm(request.POST or None, initial={"batch_id": new_id("inv")})
        if request.method == "POST" and form.is_valid():
            batch, is_new = start_batch(
                form.cleaned_data["batch_id"],
                wanted=form.cleaned_data["wanted"],
                staff=request.user.get_username(),
                reason=form.cleaned_data["reason"],
            )
            if is_new:
                messages.success(request, f"Up to {batch.wanted:,} people are being invited.")
            else:
                messages.warning(request, "This form was sent before; nobody was invited twice.")
            return HttpResponseRedirect(url_of(batch, batch.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": "Invite the next people",
            "form": form,
            "waiting": Entry.objects.filter(state=EntryState.WAITING).count(),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/invite.html", context)
