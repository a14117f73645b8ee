"""Journals with their postings: what happened, at which place of which stream, chained to the one before."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from billing.admin.formats import NOTHING, amount_of, hexadecimal, identifier_of, moment_of, sum_of
from billing.admin.read_only import ReadOnlyAdmin, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.models import IdempotencyKey, Journal, Posting

POSTINGS_SHOWN_MAX = 500  # no kind of journal has as many


@admin.register(Journal)
class JournalAdmin(ReadOnlyAdmin):
    """Found by id or its beginning, correlation id, billing entry, or idempotency key.

    There is no filter by kind: the ledger has no index for it, and at ten million rows a rare kind would be searched
    for from the newest journal to the first.
    """

    keyset = ("id",)
    found_by = ("correlation_id", "entry_id")
    found_by_prefix = ("id",)
    search_help_text = (
        "Journal id or its beginning, correlation id (a quote's id), billing entry id, or idempotency key."
    )
    list_display = ("identifier", "kind", "place", "recorded", "correlation")
    fieldsets = (
        (None, {"fields": ("kind", "recorded", "effective", "correlation", "entry", "reversed_journal", "approval")}),
        ("Place in the chain", {"fields": ("place", "hash_hex", "previous_hex", "body_hex", "batch")}),
        ("What the caller sent", {"fields": ("key_label", "metadata", "schema_version")}),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "journal")
    place = shown_as(lambda row: f"{row.stream_id} / {row.sequence:,}", "stream / sequence")
    recorded = shown_as(lambda row: moment_of(row.recorded_at), "recorded")
    effective = shown_as(lambda row: moment_of(row.effective_at), "effective")
    hash_hex = shown_as(lambda row: hexadecimal(row.hash), "hash")
    previous_hex = shown_as(lambda row: hexadecimal(row.previous_hash), "hash of the one before")
    body_hex = shown_as(lambda row: hexadecimal(row.body_hash), "hash of the body")
    batch = shown_as(lambda row: f"began at sequence {row.batch_first:,}", "batch")
    key_label = shown_as(lambda row: identifier_of(row.key), "idempotency key")
    approval = shown_as(lambda row: identifier_of(row.approval_id), "approval")

    @admin.display(description="correlation id")
    def correlation(self, row: Journal) -> str:
        """Linked to everything that happened under the same id."""
        if not row.correlation_id:
            return NOTHING
        return identifier_of(row.correlation_id, url=list_url("billing.journal", q=row.correlation_id))

    @admin.display(description="billing entry")
    def entry(self, row: Journal) -> str:
        """The lifecycle row it moved."""
        return (
            NOTHING
            if not row.entry_id
            else identifier_of(row.entry_id, url=url_of("billing.billingentry", row.entry_id))
        )

    @admin.display(description="reverses")
    def reversed_journal(self, row: Journal) -> str:
        """The journal whose postings it negates."""
        return NOTHING if not row.reverses else identifier_of(row.reverses, url=url_of(row, row.reverses))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """As everywhere, and by idempotency key, which has an index of its own."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        term = search_term.strip()
        named = IdempotencyKey.objects.filter(key=term).values_list("journal_id", flat=True) if _is_key(term) else []
        journal_id = next(iter(named), None)
        return (queryset.filter(Q(pk=journal_id)) if journal_id else found), may_repeat

    def links_of(self, row: Journal, request: HttpRequest) -> Sequence[Link]:
        if not row.correlation_id:
            return ()
        return (
            Link("Payments of this correlation", list_url("x402.payment", q=row.correlation_id)),
            Link("Journals of this correlation", list_url("billing.journal", q=row.correlation_id)),
        )

    def sections_of(self, row: Journal, request: HttpRequest) -> Sequence[Section]:
        postings = list(row.postings.select_related("account").order_by("line")[:POSTINGS_SHOWN_MAX])
        return (postings_section(postings),)


def postings_section(postings: Sequence[Posting]) -> Section:
    """The lines of a journal, and the sum of each denomination, which is zero."""
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.account.denomination] = sums.get(posting.account.denomination, 0) + posting.amount
    return Section(
        "Postings",
        (
            Column("Account"),
            Column("Debit", is_figure=True),
            Column("Credit", is_figure=True),
            Column("Balance after", is_figure=True),
        ),
        [
            (
                identifier_of(posting.account.name, url=url_of(posting.account, posting.account_id)),
                amount_of(posting.amount, denomination=posting.account.denomination) if posting.amount < 0 else "",
                amount_of(posting.amount, denomination=posting.account.denomination) if posting.amount > 0 else "",
                amount_of(posting.balance_after, denomination=posting.account.denomination),
            )
            for posting in postings
        ],
        when_empty="This kind of journal moves states and no money.",
        foot=[
            (format_html("Sum, {}", identifier_of(name)), "", sum_of(total, denomination=name), "")
            for name, total in sums.items()
        ],
    )


def _is_key(term: str) -> bool:
    return 0 < len(term.encode()) <= 255 and "\x00" not in term
