"""Accounts of the chart with their balances, and the statement of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from billing.admin.formats import NOTHING, amount_of, atomic, identifier_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, choice_filter, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.domain.accounts import CHART, SHAPE_OF_NAME
from billing.models import Account
from billing.selectors.statements import InvalidCursor, StatementPage, statement_of

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

    def get_urls(self) -> list[URLPattern]:
        statement = path(
            "<path:object_id>/statement/",
            self.admin_site.admin_view(self.statement_view),
            name="billing_account_statement",
        )
        return [statement, *super().get_urls()]

    def links_of(self, row: Account, request: HttpRequest) -> Sequence[Link]:
        return (Link("Statement", reverse("admin:billing_account_statement", args=[row.pk])),)

    def sections_of(self, row: Account, request: HttpRequest) -> Sequence[Section]:
        return (balances_section(row),)

    def statement_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The account's postings, newest first, each with the balance it left. An unreadable cursor is refused 400."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404("No account has that id.")
        cursor = request.GET.get("cursor", "")
        try:
            page = statement_of(row.name, row.denomination, cursor=cursor, limit=self.list_per_page)
        except InvalidCursor as error:
            raise BadRequest("That page of the statement does not exist.") from error
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Statement of {row.name}",
            "account": row,
            "balance": amount_of(balance_of_row(row), denomination=row.denomination),
            "section": statement_section(row, page, is_first=not cursor),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/statement.html", context)


@dataclass(frozen=True, slots=True)
class StatementPages:
    """A statement is walked towards older lines, and left for the newest ones."""

    newest_url: str
    older_url: str
    newer_url: str = ""


def statement_section(row: Account, page: StatementPage, *, is_first: bool) -> Section:
    """The lines of one page of a statement."""
    older = f"?{urlencode({'cursor': page.next_cursor})}" if page.next_cursor else ""
    return Section(
        "Postings",
        (
            Column("Recorded"),
            Column("Journal"),
            Column("Kind"),
            Column("Debit", is_figure=True),
            Column("Credit", is_figure=True),
            Column("Balance after", is_figure=True),
        ),
        [
            (
                moment_of(line.recorded_at),
                identifier_of(line.journal_id, url=url_of("billing.journal", line.journal_id)),
                line.kind,
                amount_of(line.amount, denomination=row.denomination) if line.amount < 0 else "",
                amount_of(line.amount, denomination=row.denomination) if line.amount > 0 else "",
                amount_of(line.balance_after, denomination=row.denomination),
            )
            for line in page.lines
        ],
        when_empty="Nothing was ever posted here.",
        pages=StatementPages(newest_url="" if is_first else "?", older_url=older),
    )


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
