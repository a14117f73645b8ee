"""What people did with the power they have. The database keeps these rows as they were written."""

from django.contrib import admin

from accounts.models import AuditEvent
from billing.admin.formats import NOTHING, identifier_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, shown_as


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    keyset = ("id",)
    found_by = ("actor", "action", "subject", "correlation_id")
    search_help_text = "Exactly the actor, the action, the subject or the correlation id."
    list_display = ("number", "happened", "actor", "action", "subject_or_dash")
    list_display_links = ("number",)
    fields = ("happened", "actor", "action", "subject_or_dash", "reason", "facts", "correlation")

    number = shown_as(lambda row: row.pk, "number")
    happened = shown_as(lambda row: moment_of(row.at), "when")
    subject_or_dash = shown_as(lambda row: row.subject or NOTHING, "subject")
    correlation = shown_as(lambda row: identifier_of(row.correlation_id), "correlation id")
