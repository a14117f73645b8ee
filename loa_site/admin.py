"""The staff page of policy reports: which directive stopped what on which page, and how often."""

from django.contrib import admin

from billing.admin.formats import moment_of
from billing.admin.read_only import ReadOnlyAdmin, shown_as
from loa_site.models import PolicyReport


@admin.register(PolicyReport)
class PolicyReportAdmin(ReadOnlyAdmin):
    """Written by strangers: everything was escaped and cut before it was stored, and is escaped again here."""

    keyset = ("last_seen_at", "id")
    found_by = ("violated_directive", "blocked_uri", "document_uri")
    search_help_text = "Exactly the directive, the blocked address or the page."
    list_display = ("violated_directive", "blocked", "page", "report_count", "newest")
    fields = ("violated_directive", "blocked_uri", "document_uri", "report_count", "oldest", "newest")

    blocked = shown_as(lambda row: row.blocked_uri[:60], "blocked")
    page = shown_as(lambda row: row.document_uri[:60], "page")
    oldest = shown_as(lambda row: moment_of(row.first_seen_at), "first seen")
    newest = shown_as(lambda row: moment_of(row.last_seen_at), "last seen")
