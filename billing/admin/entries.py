"""Billing entries, the life of one piece of work each, and the dead letters of both queues."""

import json
from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html

from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.models import BillingEntry, DeadLetter, Journal

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


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    """What could not be settled or booked yet, newest first; workers retry what is due."""

    keyset = ("created_at", "id")
    found_by = ("subject_id", "entry_id")
    found_by_prefix = ("id",)
    search_help_text = "Dead letter id or its beginning, or the payment or entry it is about."
    list_display = ("identifier", "queue", "state_label", "reason", "attempt", "next_try", "created")
    list_filter = (
        choice_filter("queue", "queue", ("settlement", "finalize"), narrows=by_field("queue")),
        choice_filter("state", "state", ("pending", "poisoned", "done", "voided"), narrows=by_field("state")),
    )
    fieldsets = (
        (None, {"fields": ("state_label", "queue", "reason", "subject", "attempt", "next_try", "last_error")}),
        ("Follow it", {"fields": ("correlation", "entry", "trace", "holder", "lease")}),
        ("How it ended", {"fields": ("resolution_label", "resolved_by_label", "resolved", "escalated")}),
        ("What was to be booked", {"fields": ("content", "schema_version", "created", "updated")}),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "dead letter")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    subject = shown_as(lambda row: identifier_of(row.subject_id), "about")
    next_try = shown_as(lambda row: moment_of(row.next_retry_at) if row.state == "pending" else NOTHING, "next try")
    correlation = shown_as(lambda row: identifier_of(row.correlation_id), "correlation id")
    trace = shown_as(lambda row: identifier_of(row.trace_context.get("traceparent", "")), "trace context")
    holder = shown_as(lambda row: row.owner or NOTHING, "worked on by")
    lease = shown_as(lambda row: moment_of(row.lease_until), "lease until")
    resolution_label = shown_as(lambda row: row.resolution or NOTHING, "resolution")
    resolved_by_label = shown_as(lambda row: row.resolved_by or NOTHING, "resolved by")
    resolved = shown_as(lambda row: moment_of(row.resolved_at), "resolved")
    escalated = shown_as(lambda row: moment_of(row.escalated_at), "escalated")
    created = shown_as(lambda row: moment_of(row.created_at), "created")
    updated = shown_as(lambda row: moment_of(row.updated_at), "updated")
    content = shown_as(
        lambda row: format_html('<pre tabindex="0">{}</pre>', json.dumps(row.payload, indent=2, sort_keys=True)),
        "content",
    )

    @admin.display(description="billing entry")
    def entry(self, row: DeadLetter) -> str:
        """The entry whose journal is missing."""
        return (
            NOTHING
            if not row.entry_id
            else identifier_of(row.entry_id, url=url_of("billing.billingentry", row.entry_id))
        )

    def links_of(self, row: DeadLetter, request: HttpRequest) -> Sequence[Link]:
        return (
            Link("The payment", list_url("x402.payment", q=row.subject_id)),
            Link("Journals of this correlation", list_url("billing.journal", q=row.correlation_id)),
        )
