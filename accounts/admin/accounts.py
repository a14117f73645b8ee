"""Accounts and the wallets that prove them."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import Account, Wallet
from billing.admin.formats import NOTHING, identifier_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section

WALLET_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Found by id, its beginning, or one of the account's wallets."""

    keyset = ("id",)
    found_by_prefix = ("id",)
    search_help_text = "Account id or its beginning, or a wallet address."
    list_display = ("identifier", "label_or_dash", "created")
    fields = ("identifier", "label_or_dash", "created")

    identifier = shown_as(lambda row: identifier_of(row.id), "account")
    label_or_dash = shown_as(lambda row: row.label or NOTHING, "label")
    created = shown_as(lambda row: moment_of(row.created_at), "first seen")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By id or by wallet, which is looked up first: one condition over both tables would read both whole."""
        address = search_term.strip().lower()
        if not WALLET_ADDRESS.fullmatch(address):
            return super().get_search_results(request, queryset, search_term)
        owners = list(Wallet.objects.filter(address=address).values_list("account_id", flat=True))
        return queryset.filter(pk__in=owners), False

    def links_of(self, row: Account, request: HttpRequest) -> Sequence[Link]:
        return (Link("Its accounts in the ledger", list_url("billing.account", q=row.id)),)

    def sections_of(self, row: Account, request: HttpRequest) -> Sequence[Section]:
        wallets = row.wallets.order_by("-pk")[: self.list_per_page]
        sessions = row.sessions.order_by("-pk")[: self.list_per_page]
        return (
            Section(
                "Wallets",
                (Column("Address"), Column("Family"), Column("Since")),
                [
                    (
                        identifier_of(one.address, url=url_of(one, one.pk)),
                        one.get_family_display(),
                        moment_of(one.created_at),
                    )
                    for one in wallets
                ],
            ),
            Section(
                "Newest sessions",
                (Column("Session"), Column("Signed in"), Column("Expires")),
                [
                    (
                        identifier_of(one.id, url=url_of(one, one.id)),
                        moment_of(one.created_at),
                        moment_of(one.expires_at),
                    )
                    for one in sessions
                ],
            ),
        )


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    keyset = ("id",)
    found_by = ("address",)
    search_help_text = "Wallet address."
    list_select_related = ("account",)
    list_display = ("address_label", "family", "owner", "created")
    fields = ("address_label", "family", "owner", "created")

    address_label = shown_as(lambda row: identifier_of(row.address), "address")
    owner = shown_as(lambda row: identifier_of(row.account_id, url=url_of(row.account, row.account_id)), "account")
    created = shown_as(lambda row: moment_of(row.created_at), "first seen")

    def links_of(self, row: Wallet, request: HttpRequest) -> Sequence[Link]:
        return (
            Link("Payments of this wallet", list_url("x402.payment", q=row.address)),
            Link("Credit notes of this wallet", list_url("billing.creditnote", q=row.address)),
        )
