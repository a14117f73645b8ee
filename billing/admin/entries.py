"""Billing entries: the life of one piece of work each."""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.models import BillingEntry, Journal

# Those an index leads to. Held entries and charged ones are nearly all, and COMMITTED lasts no longer than its call.
ENTRY_STATES = (
    "RELEASED",
    "VOIDED",
    "FINALIZE_ACKED",
    "FINALIZE_PENDING",
    "FINALIZE_FAILED",
)
JOURNALS_SHOWN_MAX = 100


@admin.register(BillingEntry)
class BillingEntryAdmin(ReadOnlyAdmin):
    """Found by id or its beginning, payment, or account."""

    keyset = ("id",)
    found_by = ("payment_id", "account_id")
    found_by_prefix = ("id",)
    search_help_text = "Entry id or its beginning, payment id, or account id."
    list_display = ("identifier", "state_label", "funding", "held", "cost", "payment", "created")
    list_filter = (
        choice_filter("state", "state", ENTRY_STATES, narrows=by_field("state")),
        choice_filter("funding", "funding", ("prepaid", "x402", "credit"), narrows=by_field("funding")),
    )
    fieldsets = (
        (None, {"fields": ("state_label", "held", "cost", "revenue", "funding", "denomination", "reason")}),
        ("Whose", {"fields": ("account", "wallet_address", "payment", "correlation", "spend_key")}),
        ("When", {"fields": ("created", "updated", "expires", "lease")}),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "entry")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    held = shown_as(lambda row: amount_of(row.held_amount, denomination=row.denomination), "held")
    cost = shown_as(lambda row: amount_of(row.cost_amount, denomination=row.denomination), "cost")
    revenue = shown_as(lambda row: amount_of(row.revenue_remaining, denomination=row.denomination), "revenue remaining")
    wallet_address = shown_as(lambda row: identifier_of(row.wallet), "wallet")
    account = shown_as(
        lambda row: identifier_of(row.account_id, url=url_of("accounts.account", row.account_id)), "account"
    )
    correlation = shown_as(lambda row: identifier_of(row.correlation_id), "correlation id")
    created = shown_as(lambda row: moment_of(row.created_at), "created")
    updated = shown_as(lambda row: moment_of(row.updated_at), "updated")
    expires = shown_as(lambda row: moment_of(row.expires_at), "reserve expires")
    lease = shown_as(lambda row: moment_of(row.lease_until), "lease until")

    @admin.display(description="payment")
    def payment(self, row: BillingEntry) -> str:
        """The payment that funds it."""
        return (
            NOTHING if not row.payment_id else identifier_of(row.payment_id, url=url_of("x402.payment", row.payment_id))
        )

    def links_of(self, row: BillingEntry, request: HttpRequest) -> Sequence[Link]:
        return (Link("Journals of this entry", list_url("billing.journal", q=row.id)),)

    def sections_of(self, row: BillingEntry, request: HttpRequest) -> Sequence[Section]:
        journals = Journal.objects.filter(entry_id=row.id).order_by("id")[:JOURNALS_SHOWN_MAX]
        return (
            Section(
                "Journals",
                (Column("Journal"), Column("Kind"), Column("Recorded")),
                [
                    (identifier_of(one.id, url=url_of(one, one.id)), one.kind, moment_of(one.recorded_at))
                    for one in journals
                ],
            ),
        )
