"""Agents: what their holders wrote, version by version, and what staff do about it.

The queue is the list, filtered by what waits. Nothing is edited here: words are approved, withdrawn or an older version
is brought back, each with a reason that the audit log keeps with the name of who did it.
"""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.acts import Act, ActingAdmin
from billing.admin.formats import NOTHING, identifier_of, moment_of, state_of
from billing.admin.read_only import by_field, choice_filter, shown_as
from billing.admin.sections import Column, Link, Section
from billing.domain.errors import Refused
from billing.services.staff_acts import Ask
from nft.domain.errors import VersionNotFound
from nft.domain.review import Review, doubts_about
from nft.models import Personality, PersonalityVersion
from nft.selectors.personalities import changes_between, versions_of
from nft.services import reviews

SHOWN_LENGTH_MAX = 160  # of a text in the table of changes; the newest stands above in full


def approve(row: Personality, ask: Ask) -> str:
    reviews.approve(row.pk)
    return "The words are approved and used."


def withdraw(row: Personality, ask: Ask) -> str:
    reviews.withdraw(row.pk)
    return "The words are withdrawn. The agent goes on without them; what its holder writes next waits for a yes."


def bring_back(row: Personality, ask: Ask) -> str:
    try:
        return f"It is version {reviews.bring_back_the_version_before(row.pk)} now."
    except VersionNotFound as error:
        raise Refused(act=ask.act, detail=error.detail) from error


ACTS = (
    Act(
        "approve",
        "Approve the words",
        "They are used from now on, and are out of the queue.",
        "nft.review_personality",
        approve,
        lambda row: row.review != Review.CLEAR,
    ),
    Act(
        "withdraw",
        "Withdraw the words",
        "The agent keeps its voice and loses its name, its domains and its holder's words. New ones wait for a yes.",
        "nft.review_personality",
        withdraw,
        lambda row: row.review != Review.WITHDRAWN,
    ),
    Act(
        "bring-back",
        "Bring the version before back",
        "What stood before the newest version becomes the next one. Both stay in the list below.",
        "nft.restore_personality",
        bring_back,
        lambda row: row.version > 1,
    ),
)


@admin.register(Personality)
class PersonalityAdmin(ActingAdmin):
    """Filter by `waiting` and `held` for the queue."""

    acts = ACTS
    keyset = ("id",)
    found_by = ("collection", "token_id", "written_by", "handed_to")
    found_by_prefix = ("id",)
    search_help_text = "Agent id or its beginning, or exactly a collection, a token id or a wallet."
    list_filter = (choice_filter("review", "review", [state.value for state in Review], narrows=by_field("review")),)
    list_display = ("identifier", "name", "token", "review_label", "doubts", "version", "changed")
    fields = (
        *("identifier", "token", "review_label", "doubts", "name", "voice", "domains", "custom_instructions"),
        *("version", "writer", "owner", "handed_over", "created", "changed"),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "agent")
    token = shown_as(lambda row: f"{row.chain} {row.collection} #{row.token_id}", "token")
    review_label = shown_as(lambda row: state_of(row.review), "review")
    doubts = shown_as(lambda row: ", ".join(doubts_about(row.traits)) or NOTHING, "look at")
    domains = shown_as(lambda row: ", ".join(row.expertise_domains) or NOTHING, "knows about")
    writer = shown_as(lambda row: identifier_of(row.written_by), "written by")
    owner = shown_as(lambda row: identifier_of(row.handed_to) if row.handed_to else NOTHING, "handed over to")
    handed_over = shown_as(lambda row: moment_of(row.handed_over_at), "handed over")
    created = shown_as(lambda row: moment_of(row.created_at), "created")
    changed = shown_as(lambda row: moment_of(row.updated_at), "changed")

    def ways_from(self, row: Personality, request: HttpRequest) -> Sequence[Link]:
        return (Link("The agent's own page", f"/agent/{row.collection}/{row.token_id}"),)

    def sections_of(self, row: Personality, request: HttpRequest) -> Sequence[Section]:
        versions = versions_of(row)
        columns = (Column("Version", is_figure=True), Column("Written"), Column("By"), Column("What changed"))
        rows = [
            (one.number, moment_of(one.written_at), identifier_of(one.written_by), _changes(one, before))
            for one, before in zip(versions, [*versions[1:], None], strict=True)
        ]
        return (Section("Versions", columns, rows),)


def _changes(one: PersonalityVersion, before: PersonalityVersion | None) -> str:
    """What a version changed, in words; plain text, which the page escapes."""
    if before is None:
        return "the oldest that is shown"
    changes = [
        f"{change.field}: {_short(change.before)} → {_short(change.after)}" for change in changes_between(before, one)
    ]
    if one.restored_from is not None:
        changes.insert(0, f"brought version {one.restored_from} back")
    return "; ".join(changes) or "nothing but its writer"


def _short(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list) else str(value)
    cut = text if len(text) <= SHOWN_LENGTH_MAX else f"{text[:SHOWN_LENGTH_MAX]}…"
    return f"“{cut}”"
