"""Pages that show rows and can change none of them, not even for a superuser.

Rows of value are changed by services that append journals; a page that edited them would be a second truth. Every
list pages by key (`keyset`), finds by exact id or by the beginning of one, and filters by fixed choices, so that it
stays fast at ten million rows and nonsense in an address is refused instead of reaching the database.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import IntegerField, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse
from django.utils.text import capfirst

from billing.admin import formats
from billing.admin.keyset import KeysetChangeList
from billing.admin.sections import Link, Section

ROWS_PER_PAGE = 50
SEARCH_LENGTH_MAX = 120  # longer than any id we store

if TYPE_CHECKING:
    ModelAdminBase = admin.ModelAdmin[Any]
else:
    ModelAdminBase = admin.ModelAdmin


class ReadOnlyAdmin(ModelAdminBase):
    """Subclasses name `keyset`, `found_by` (exact) and `found_by_prefix`, and may add sections and links to a row."""

    keyset: ClassVar[Sequence[str]] = ("pk",)
    found_by: ClassVar[Sequence[str]] = ()
    found_by_prefix: ClassVar[Sequence[str]] = ()

    list_per_page = ROWS_PER_PAGE
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    actions = None
    sortable_by = ()
    change_list_template = "admin/read_only_list.html"
    change_form_template = "admin/read_only_form.html"

    def sections_of(self, row: Any, request: HttpRequest) -> Sequence[Section]:
        """Tables below the row's own fields."""
        return ()

    def links_of(self, row: Any, request: HttpRequest) -> Sequence[Link]:
        """Ways to related pages."""
        return ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        class ChangeList(KeysetChangeList):
            keys = self.keyset

        return ChangeList

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (*self.found_by, *self.found_by_prefix)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows with exactly this value, or whose id begins with it; wildcards mean themselves."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if len(term) > SEARCH_LENGTH_MAX or "\x00" in term:
            return queryset.none(), False
        condition = Q()
        for name in self.found_by:
            condition |= Q(**{name: self.stored_form(name, term)})
        for name in self.found_by_prefix:
            condition |= Q(**{f"{name}__startswith": self.stored_form(name, term)})
        return queryset.filter(condition), False

    def stored_form(self, name: str, term: str) -> str:
        """How `name` stores what somebody typed: chain addresses and hashes are kept in lower case."""
        return term.lower() if term[:2] in ("0x", "0X") else term

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only the filters on the page: a free lookup could ask for a regular expression over every row."""
        return any(lookup == getattr(declared, "parameter_name", None) for declared in self.list_filter)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        key = self.opts.pk
        is_number = isinstance(key, IntegerField)
        if "\x00" in object_id or (is_number and not (object_id.isascii() and object_id.isdigit())):
            return None  # Python reads 1_00 as a hundred; an address has one spelling
        return super().get_object(request, object_id, from_field)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"No {self.opts.verbose_name} has that id.")
        title = {"title": capfirst(self.opts.verbose_name)}
        below = {"sections": self.sections_of(row, request), "links": self.links_of(row, request)}
        return super().change_view(request, object_id, form_url, {**title, **(extra_context or {}), **below})


def url_of(model: Model | str, primary_key: int | str) -> str:
    """The page of one row; `model` is a row of the same model, or `app_label.model_name`."""
    label = model if isinstance(model, str) else model._meta.label_lower
    return reverse(f"admin:{label.replace('.', '_')}_change", args=[quote(primary_key)])


def list_url(label: str, **query: str) -> str:
    """The list of a model, filtered by `query`."""
    return reverse(f"admin:{label.replace('.', '_')}_changelist", query=query or None)


def choice_filter(
    title: str, parameter: str, choices: Sequence[str], *, narrows: Callable[[QuerySet[Any], str], QuerySet[Any]]
) -> type[admin.SimpleListFilter]:
    """A filter with fixed choices: it asks the database nothing, and a value outside them finds nothing."""

    class ChoiceFilter(admin.SimpleListFilter):
        parameter_name = parameter
        template = "admin/choice_filter.html"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(choice, choice) for choice in choices]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
            value = self.value()
            if value is None:
                return None
            return narrows(queryset, value) if value in choices else queryset.none()

    ChoiceFilter.title = title
    return ChoiceFilter


def by_field(name: str) -> Callable[[QuerySet[Any], str], QuerySet[Any]]:
    """Rows whose field `name` equals the choice."""
    return lambda queryset, value: queryset.filter(**{name: value})


def shown_as(write: Callable[[Any], Any], title: str) -> Callable[[Any, Any], Any]:
    """A display column from a function of the row."""

    @admin.display(description=title, empty_value=formats.NOTHING)
    def column(_model_admin: Any, row: Any) -> Any:
        return write(row)

    return column
