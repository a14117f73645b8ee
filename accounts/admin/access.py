"""Feature flags and the allowlist. Every change goes through its service, with a reason, into the audit log."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.models import AllowlistEntry, FeatureFlag
from accounts.services import allowlist, feature_flags
from accounts.services.errors import AccountsError
from accounts.services.feature_flags import FLAGS, Setting
from billing.admin.formats import NOTHING, moment_of
from billing.admin.read_only import ModelAdminBase, shown_as

if TYPE_CHECKING:
    FlagFormBase = forms.ModelForm[FeatureFlag]
else:
    FlagFormBase = forms.ModelForm


class FlagForm(FlagFormBase):
    """One switch, and why it is changed."""

    class Meta:
        model = FeatureFlag
        fields = ("is_enabled", "percentage", "subjects", "reason")

    def clean_subjects(self) -> list[str]:
        """A list of short texts."""
        subjects = self.cleaned_data["subjects"] or []
        if not isinstance(subjects, list) or not all(isinstance(one, str) for one in subjects):
            raise forms.ValidationError('Write a list of wallets or account ids: ["0x…", "acc_…"].')
        return subjects

    def clean(self) -> dict[str, Any]:
        """What the service would refuse is refused here, beside the field."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not str(cleaned.get("reason", "")).strip():
            self.add_error("reason", "A change needs a reason.")
        return cleaned


@admin.register(FeatureFlag)
class FeatureFlagAdmin(ModelAdminBase):
    """Flags exist in code; here they are switched."""

    form = FlagForm
    list_display = ("name", "meaning", "is_enabled", "percentage", "changed_by", "changed")

    meaning = shown_as(lambda row: FLAGS.get(row.name, NOTHING), "what it switches")
    changed = shown_as(lambda row: moment_of(row.changed_at), "changed")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FeatureFlag | None = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"reason": ""}

    def save_model(self, request: HttpRequest, obj: FeatureFlag, form: Any, change: bool) -> None:
        """Through the service, which writes down who and why."""
        setting = Setting(obj.is_enabled, obj.percentage, tuple(obj.subjects))
        feature_flags.set_flag(obj.name, setting, actor=request.user.get_username(), reason=obj.reason)


class AllowForm(forms.Form):
    """Many wallets at once."""

    addresses = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 8}), help_text="One address a line, or separated by commas."
    )
    reason = forms.CharField(max_length=allowlist.REASON_LENGTH_MAX)
    expires_at = forms.DateTimeField(required=False, label="until", help_text="Empty: until they are removed.")

    def listed(self) -> list[str]:
        """The addresses as they were written."""
        return str(self.cleaned_data["addresses"]).replace(",", " ").split()


@admin.register(AllowlistEntry)
class AllowlistEntryAdmin(ModelAdminBase):
    """Added in bulk, removed one by one or by selection; nothing is edited."""

    list_display = ("address", "reason", "added_by", "added", "ends")
    search_fields = ("=address",)
    search_help_text = "A wallet's address."
    show_full_result_count = False

    added = shown_as(lambda row: moment_of(row.added_at), "since")
    ends = shown_as(lambda row: moment_of(row.expires_at) if row.expires_at else NOTHING, "until")

    def has_change_permission(self, request: HttpRequest, obj: AllowlistEntry | None = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """A form for many addresses; the service adds them in one transaction."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = AllowForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._add(request, form):
            return HttpResponseRedirect(reverse("admin:accounts_allowlistentry_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Let wallets in",
            "explanation": "They may use what is open to the allowlist only. Kept in the audit log with your name.",
            "confirm": "Let them in",
            "form": form,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/plain_form.html", context)

    def delete_model(self, request: HttpRequest, obj: AllowlistEntry) -> None:
        """Through the service."""
        allowlist.remove([obj.address], actor=request.user.get_username(), reason="removed in the admin")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AllowlistEntry]) -> None:
        """Through the service."""
        addresses = list(queryset.values_list("address", flat=True))
        allowlist.remove(addresses, actor=request.user.get_username(), reason="removed in the admin")

    def _add(self, request: HttpRequest, form: AllowForm) -> bool:
        try:
            done = allowlist.add(
                form.listed(),
                actor=request.user.get_username(),
                reason=form.cleaned_data["reason"],
                expires_at=form.cleaned_data["expires_at"],
            )
        except AccountsError as error:
            form.add_error(None, error.detail)
            return False
        messages.success(request, f"{done.count} wallets are on the list.")
        if done.invalid:
            messages.warning(request, f"No addresses: {', '.join(done.invalid)}")
        return True
