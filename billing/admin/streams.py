"""Streams and their fence: who may write, the last token, and how far the chain has come."""

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Case, DateTimeField, F, Func, QuerySet, When
from django.http import HttpRequest

from billing.admin.acts import Act, ActingAdmin
from billing.admin.dead_letters import decisions_about
from billing.admin.formats import NOTHING, hexadecimal, moment_of
from billing.admin.read_only import list_url, shown_as
from billing.admin.sections import Link, Section
from billing.models import Stream
from billing.services import fence
from billing.services.staff_acts import Ask

MAY_BE_INFINITE = (
    "lease_until",
    "last_recorded_at",
    "closed_until",
)  # "never yet" is -infinity, which Python cannot hold


def finite(name: str) -> Case:
    """The moment in column `name`, or None when it is infinite."""
    is_finite = Func(F(name), function="isfinite", output_field=BooleanField())
    return Case(When(is_finite, then=F(name)), default=None, output_field=DateTimeField())


def ask_for_reset(row: Stream, ask: Ask) -> str:
    approval_id = fence.request_reset(row.id, maker=ask.actor, reason=ask.reason)
    return f"{approval_id} waits for a second person's yes, for an hour."


@admin.register(Stream)
class StreamAdmin(ActingAdmin):
    acts = (
        Act(
            "fence-reset",
            "Ask to reset the fence",
            "Puts the stream's keys in Redis back to its row's token. A second person has to agree within an hour.",
            "billing.request_approval",
            ask_for_reset,
            lambda row: row.lane == "writer",
        ),
    )
    keyset = ("id",)
    list_display = ("name", "lane", "holder_label", "epoch", "last_token", "sequence", "lease", "last_recorded")
    fields = (
        "lane",
        "holder_label",
        "epoch",
        "last_token",
        "lease",
        "sequence",
        "head_hex",
        "last_recorded",
        "closed",
        "opened",
    )

    name = shown_as(str, "stream")
    holder_label = shown_as(lambda row: row.holder or NOTHING, "holder")
    lease = shown_as(lambda row: moment_of(row.finite_lease_until), "lease until")
    last_recorded = shown_as(lambda row: moment_of(row.finite_last_recorded_at), "last journal")
    closed = shown_as(lambda row: moment_of(row.finite_closed_until), "closed until")
    opened = shown_as(lambda row: moment_of(row.opened_at), "opened")
    head_hex = shown_as(lambda row: hexadecimal(row.head), "head")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Moments that may be infinite are read through a condition and never as they are."""
        streams: QuerySet[Any] = super().get_queryset(request).defer(*MAY_BE_INFINITE)
        for name in MAY_BE_INFINITE:
            streams = streams.annotate(**{f"finite_{name}": finite(name)})
        return streams

    def ways_from(self, row: Stream, request: HttpRequest) -> list[Link]:
        return [Link("All journals", list_url("billing.journal"))]

    def sections_of(self, row: Stream, request: HttpRequest) -> list[Section]:
        return [decisions_about(str(row.id))]
