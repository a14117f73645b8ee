"""Comparisons of the treasury with the books, and every difference that a person has to look at."""

import json
from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html

from billing.admin.formats import moment_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, choice_filter, shown_as
from billing.admin.sections import Column, Section
from x402.models import Reconciliation

DIFFERENCES_SHOWN_MAX = 200


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Newest first; one runs every ten minutes."""

    keyset = ("id",)
    list_display = ("happened", "verdict", "difference_count", "applied", "seconds_label")
    list_display_links = ("happened",)
    list_filter = (
        choice_filter(
            "differences", "differs", ("yes",), narrows=lambda rows, _choice: rows.filter(difference_count__gt=0)
        ),
    )
    fields = ("happened", "verdict", "difference_count", "applied", "seconds_label", "figures_label", "blocks_label")

    happened = shown_as(lambda row: moment_of(row.created_at), "when")
    verdict = shown_as(lambda row: state_of("differs" if row.difference_count else "agrees"), "verdict")
    seconds_label = shown_as(lambda row: f"{row.seconds:.2f} s", "took")
    figures_label = shown_as(lambda row: _document(row.figures), "figures")
    blocks_label = shown_as(lambda row: _document(row.to_blocks), "compared up to block")

    def sections_of(self, row: Reconciliation, request: HttpRequest) -> Sequence[Section]:
        return (
            Section(
                "Differences",
                (Column("What"), Column("Facts")),
                [_difference(one) for one in row.differences[:DIFFERENCES_SHOWN_MAX]],
                when_empty="None: chain and books agree.",
            ),
        )


def _difference(one: object) -> tuple[str, str]:
    if not isinstance(one, dict):
        return ("", str(one))
    facts = {name: value for name, value in one.items() if name not in ("kind", "what")}
    return (str(one.get("kind") or one.get("what") or "difference"), _document(facts))


def _document(value: object) -> str:
    return format_html('<pre tabindex="0">{}</pre>', json.dumps(value, indent=2, sort_keys=True, default=str))
