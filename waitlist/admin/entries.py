"""Who is on the list, and the mails that went to them."""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.formats import identifier_of, moment_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, shown_as, url_of
from billing.admin.sections import Column, Section
from waitlist.models import Entry, Mail
from waitlist.models.entry import EntryState
from waitlist.selectors.places import place_among_first

COUNTED_PLACES = 1_000  # further back a page would read the whole list to say a number nobody acts on


def place_in_words(entry: Entry) -> str | int | None:
    """The place of somebody who waits; beyond the first thousand, that."""
    if entry.state != EntryState.WAITING:
        return None
    return place_among_first(entry, most=COUNTED_PLACES) or f"beyond {COUNTED_PLACES:,}"


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """Addresses are shown to those who may see entries, and on the row's own page only."""

    keyset = ("created_at", "id")
    found_by = ("email_key", "email", "wallet", "referral_code")
    found_by_prefix = ("id",)
    search_help_text = "Entry id or its beginning, or exactly an address, a wallet or a referral code."
    list_filter = (choice_filter("state", "state", EntryState.values, narrows=by_field("state")),)
    list_display = ("identifier", "stands", "language", "friends_confirmed", "created", "confirmed")
    fields = (
        *("identifier", "stands", "place", "email", "wallet", "language", "consent_version", "consented"),
        *("created", "confirmed", "invited", "accepted", "left", "referral_code", "friends_confirmed", "sent_by"),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "entry")
    stands = shown_as(lambda row: state_of(row.state), "state")
    place = shown_as(lambda row: place_in_words(row), "place")
    consented = shown_as(lambda row: moment_of(row.consented_at), "agreed")
    created = shown_as(lambda row: moment_of(row.created_at), "asked")
    confirmed = shown_as(lambda row: moment_of(row.confirmed_at), "confirmed")
    invited = shown_as(lambda row: moment_of(row.invited_at), "invited")
    accepted = shown_as(lambda row: moment_of(row.accepted_at), "came in")
    left = shown_as(lambda row: moment_of(row.left_at), "left")
    sent_by = shown_as(lambda row: identifier_of(row.referred_by_id), "sent by")

    def sections_of(self, row: Entry, request: HttpRequest) -> Sequence[Section]:
        mails = row.mails.order_by("-id")[: self.list_per_page]
        columns = (Column("Mail"), Column("State"), Column("Tries", is_figure=True), Column("Sent"))
        rows = [
            (identifier_of(one.kind, url=url_of(one, one.pk)), state_of(one.state), one.tries, moment_of(one.sent_at))
            for one in mails
        ]
        return (Section("Mails", columns, rows),)


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    """What is queued and why it has not left yet."""

    keyset = ("id",)
    found_by = ("entry_id",)
    search_help_text = "Exactly the entry's id."
    list_select_related = ("entry",)
    list_filter = (choice_filter("state", "state", Mail.State.values, narrows=by_field("state")),)
    list_display = ("number", "kind", "stands", "to_entry", "tries", "due", "last_error")
    fields = ("kind", "stands", "to_entry", "tries", "due", "created", "sent", "last_error")

    number = shown_as(lambda row: row.pk, "number")
    stands = shown_as(lambda row: state_of(row.state), "state")
    to_entry = shown_as(lambda row: identifier_of(row.entry_id, url=url_of(row.entry, row.entry_id)), "entry")
    due = shown_as(lambda row: moment_of(row.due_at), "next try")
    created = shown_as(lambda row: moment_of(row.created_at), "queued")
    sent = shown_as(lambda row: moment_of(row.sent_at), "sent")
