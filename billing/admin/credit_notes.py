"""Credit notes: what a wallet has with us, how it came and where it went."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.admin.formats import amount_of, identifier_of, moment_of, short_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.models import CreditNote

MOVEMENTS_SHOWN_MAX = 100


def with_or_without_rest(queryset: QuerySet[Any], choice: str) -> QuerySet[Any]:
    """Notes that still hold something, or used-up ones."""
    return queryset.filter(remaining__gt=0) if choice == "yes" else queryset.filter(remaining=0)


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    """Found by id or its beginning, wallet, or the payment it came from."""

    keyset = ("id",)
    found_by = ("wallet", "source")
    found_by_prefix = ("id",)
    search_help_text = "Note id or its beginning, wallet address, or the id it came from."
    list_display = ("identifier", "kind", "issued_amount", "rest", "wallet_short", "issued", "expires")
    list_filter = (
        choice_filter("kind", "kind", ("change", "owed"), narrows=by_field("kind")),
        choice_filter("still open", "open", ("yes", "no"), narrows=with_or_without_rest),
    )
    fields = (
        "kind",
        "issued_amount",
        "rest",
        "wallet_address",
        "denomination",
        "source_label",
        "journal",
        "issued",
        "expires",
        "refundable",
        "number",
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "note")
    issued_amount = shown_as(lambda row: amount_of(row.amount, denomination=row.denomination), "issued for")
    rest = shown_as(lambda row: amount_of(row.remaining, denomination=row.denomination), "remaining")
    wallet_short = shown_as(lambda row: short_of(row.wallet), "wallet")
    wallet_address = shown_as(lambda row: identifier_of(row.wallet), "wallet")
    source_label = shown_as(lambda row: identifier_of(row.source), "came from")
    journal = shown_as(
        lambda row: identifier_of(row.journal_id, url=url_of("billing.journal", row.journal_id)), "issued by journal"
    )
    issued = shown_as(lambda row: moment_of(row.issued_at), "issued at")
    expires = shown_as(lambda row: moment_of(row.expires_at), "expires")
    refundable = shown_as(lambda row: moment_of(row.refundable_at), "refundable from")

    def links_of(self, row: CreditNote, request: HttpRequest) -> Sequence[Link]:
        return (
            Link("All notes of this wallet", list_url("billing.creditnote", q=row.wallet)),
            Link("Payments of this wallet", list_url("x402.payment", q=row.wallet)),
        )

    def sections_of(self, row: CreditNote, request: HttpRequest) -> Sequence[Section]:
        movements = row.movements.order_by("-pk")[:MOVEMENTS_SHOWN_MAX]
        return (
            Section(
                "Movements",
                (
                    Column("What"),
                    Column("Amount", is_figure=True),
                    Column("Remaining after", is_figure=True),
                    Column("Journal"),
                ),
                [
                    (
                        one.reason,
                        amount_of(one.amount, denomination=row.denomination),
                        amount_of(one.remaining_after, denomination=row.denomination),
                        identifier_of(one.journal_id, url=url_of("billing.journal", one.journal_id)),
                    )
                    for one in movements
                ],
            ),
        )
