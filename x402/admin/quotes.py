"""Quotes somebody asked us to keep. Their tokens are secrets of the payer's side and are stored hashed only."""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.formats import amount_of, identifier_of, moment_of, short_of
from billing.admin.read_only import ReadOnlyAdmin, list_url, shown_as
from billing.admin.sections import Link
from x402.models import KeptQuote


@admin.register(KeptQuote)
class KeptQuoteAdmin(ReadOnlyAdmin):
    keyset = ("created_at", "id")
    found_by_prefix = ("id",)
    search_help_text = "Quote id or its beginning."
    list_display = ("identifier", "maximum", "request", "wallet_short", "created", "expires")
    fields = (
        "identifier",
        "maximum",
        "description",
        "request",
        "price_version",
        "wallet_address",
        "created",
        "expires",
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "quote")
    maximum = shown_as(lambda row: amount_of(row.max_cost_micro_usdc), "maximum cost")
    request = shown_as(lambda row: f"{row.request_method} {row.request_path}", "request")
    wallet_short = shown_as(lambda row: short_of(row.wallet), "wallet")
    wallet_address = shown_as(lambda row: identifier_of(row.wallet), "wallet")
    created = shown_as(lambda row: moment_of(row.created_at), "created")
    expires = shown_as(lambda row: moment_of(row.expires_at), "expires")

    def links_of(self, row: KeptQuote, request: HttpRequest) -> Sequence[Link]:
        return (Link("Payments of this quote", list_url("x402.payment", q=row.id)),)
