"""Lists that page by key: the newest rows first, and nothing is ever counted.

`?after=<id>` continues behind the row with that id, `?before=<id>` goes back. The cursor names a row, not a place, so
rows that arrive meanwhile move nothing, and page 100,000 costs what page one costs. Columns are not sortable: another
order would need another index. An id that names no row is answered 404.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import Http404, HttpRequest, QueryDict

AFTER = "after"
BEFORE = "before"
# Sorting, numbered pages, counts and pop-ups: not offered, so not obeyed.
STOCK_PARAMETERS = ("o", "p", "all", "_facets", "_popup", "_to_field")


def row_named(queryset: QuerySet[Model], identifier: str, *, keys: Sequence[str]) -> Model:
    """The `keys` of the row whose primary key was given as text. Raises Http404 for anything that is no such key."""
    primary_key = queryset.model._meta.pk
    if "\x00" in identifier:
        raise Http404("No row has that id.")
    try:
        row = queryset.filter(pk=primary_key.to_python(identifier)).only(*keys).first()
    except (ValueError, ValidationError):
        row = None
    if row is None:
        raise Http404("No row has that id.")
    return row


def behind(row: Model, keys: Sequence[str], *, older: bool) -> Q:
    """Rows strictly behind (or before) `row` in the descending order of `keys`, as a condition an index can follow."""
    comparison = "lt" if older else "gt"
    condition = Q()
    for position, key in enumerate(keys):
        equal_so_far = {earlier: getattr(row, earlier) for earlier in keys[:position]}
        condition |= Q(**equal_so_far, **{f"{key}__{comparison}": getattr(row, key)})
    if len(keys) > 1:
        condition &= Q(**{f"{keys[0]}__{comparison}e": getattr(row, keys[0])})
    return condition


class Page:
    """One page of `queryset` in the descending order of `keys`, and whether there are rows on either side of it."""

    def __init__(self, queryset: QuerySet[Any], *, keys: Sequence[str], query: QueryDict, size: int) -> None:
        self._query = query
        after, before = query.get(AFTER), query.get(BEFORE)
        backwards = before is not None and after is None
        cursor = before if backwards else after
        if cursor is not None:
            start = row_named(queryset.model._default_manager.using(queryset.db), cursor, keys=keys)
            queryset = queryset.filter(behind(start, keys, older=not backwards))
        order = [key if backwards else f"-{key}" for key in keys]
        rows = list(queryset.order_by(*order)[: size + 1])
        more = len(rows) > size
        self.rows = rows[:size]
        if backwards:
            self.rows.reverse()
        self.has_newer = more if backwards else cursor is not None
        self.has_older = True if backwards else more

    @property
    def newer_url(self) -> str:
        """The address of the page before this one, or nothing."""
        return self._url(BEFORE, self.rows[0]) if self.rows and self.has_newer else ""

    @property
    def older_url(self) -> str:
        """The address of the page behind this one, or nothing."""
        return self._url(AFTER, self.rows[-1]) if self.rows and self.has_older else ""

    def _url(self, cursor: str, row: Model) -> str:
        query = self._query.copy()
        query.pop(AFTER, None)
        query.pop(BEFORE, None)
        query[cursor] = str(row.pk)
        return f"?{query.urlencode()}"


class KeysetChangeList(ChangeList):
    """Django's change list without its count; the order is that of `keys`, descending."""

    keys: ClassVar[Sequence[str]] = ("pk",)

    def __init__(self, request: HttpRequest, *arguments: Any) -> None:
        self._asked = request.GET.copy()
        listed = request.GET.copy()
        for name in (AFTER, BEFORE, *STOCK_PARAMETERS):
            listed.pop(name, None)
        request.GET = QueryDict(listed.urlencode())
        super().__init__(request, *arguments)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return [f"-{key}" for key in self.keys]

    def get_ordering_field_columns(self) -> dict[int, Literal["desc", "asc"]]:
        return {}

    def get_results(self, request: HttpRequest) -> None:
        page = Page(self.queryset, keys=self.keys, query=self._asked, size=self.list_per_page)
        self.result_list = page.rows
        self.newer_url, self.older_url = page.newer_url, page.older_url
        self.result_count = self.full_result_count = len(page.rows)
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = True
        self.multi_page = False
        self.paginator = Paginator(page.rows, self.list_per_page)

    @property
    def without_search(self) -> str:
        """This list without the search term."""
        return self.get_query_string(remove=["q"])
