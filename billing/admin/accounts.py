"""Accounts of the chart with their balances, and the statement of each."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.admin.formats import NOTHING, amount_of, atomic, identifier_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, choice_filter, shown_as
from billing.admin.sections import Column, Section
from billing.domain.accounts import CHART, SHAPE_OF_NAME
from billing.models import Account

UNLIMITED = 2**63 - 1
SHARDS_SHOWN_MAX = 200


def of_shape(queryset: QuerySet[Any], name: str) -> QuerySet[Any]:
    """Accounts of one line of the chart."""
    return queryset.filter(shape_id=SHAPE_OF_NAME[name].number)


def balance_of_row(row: Account) -> int:
    """What the account holds now: its balance rows together."""
    return sum(balance.posted for balance in row.balances.all())


def limit_of(limit: int, *, denomination: str) -> str:
    """A floor or cap, or a dash where the account has none."""
    return NOTHING if abs(limit) >= UNLIMITED else amount_of(limit, denomination=denomination)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Found by name, the beginning of a name, or the owner: an account id or a wallet."""

    keyset = ("id",)
    found_by = ("owner",)
    found_by_prefix = ("name",)
    search_help_text = "Account name or its beginning, account id, or wallet address."
    list_select_related = ("shape",)
    list_display = ("identifier", "kind", "balance", "denomination_label", "opened")
    list_filter = (choice_filter("line of the chart", "shape", [shape.name for shape in CHART], narrows=of_shape),)
    fields = ("identifier", "kind", "balance", "denomination_label", "opened")

    identifier = shown_as(lambda row: identifier_of(row.name), "account")
    kind = shown_as(lambda row: f"{row.shape.kind} ({row.shape.name})", "kind")
    balance = shown_as(lambda row: amount_of(balance_of_row(row), denomination=row.denomination), "balance now")
    denomination_label = shown_as(lambda row: identifier_of(row.denomination), "denomination")
    opened = shown_as(lambda row: moment_of(row.opened_at), "opened")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("balances")

    def sections_of(self, row: Account, request: HttpRequest) -> Sequence[Section]:
        return (balances_section(row),)


def balances_section(row: Account) -> Section:
    """The balance rows: one for users and wallets, one per stream for system accounts."""
    return Section(
        "Balance rows",
        (
            Column("Stream"),
            Column("Balance", is_figure=True),
            Column("Postings", is_figure=True),
            Column("Floor", is_figure=True),
            Column("Cap", is_figure=True),
        ),
        [
            (
                str(balance.shard) if row.shape.is_sharded else "all",
                amount_of(balance.posted, denomination=row.denomination),
                atomic(balance.version),
                limit_of(balance.floor, denomination=row.denomination),
                limit_of(balance.cap, denomination=row.denomination),
            )
            for balance in sorted(row.balances.all(), key=lambda one: one.shard)[:SHARDS_SHOWN_MAX]
        ],
    )
