"""Links in mails: signed, so that nobody invents one; dated, so that an old mailbox opens nothing; some for one use.

A single-use link carries the entry's `link_number`; using it counts the number up, so each earlier one is spent too.
The signing key is Django's, and its fallbacks keep links alive over a change of keys.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from django.core import signing

from telemetry.configuration import loa
from waitlist.domain.errors import LinkRefused
from waitlist.models import Entry

TOKEN_LENGTH_MAX: Final = 200


class Purpose(StrEnum):
    """What a link is for; a link for one purpose is worthless for another."""

    CONFIRM = "confirm"
    INVITATION = "invitation"
    PLACE = "place"
    LEAVE = "leave"


# A leave link never dies: whoever finds a mail of ours in an old archive may still be rid of us (RFC 8058).
LIFETIMES: Final[dict[Purpose, timedelta | None]] = {
    Purpose.CONFIRM: timedelta(hours=48),
    Purpose.INVITATION: timedelta(days=14),
    Purpose.PLACE: timedelta(days=90),
    Purpose.LEAVE: None,
}
SINGLE_USE: Final = frozenset({Purpose.CONFIRM, Purpose.INVITATION})


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: whose it is, and which of the entry's single-use links."""

    entry_id: str
    number: int


def token_for(entry: Entry, purpose: Purpose) -> str:
    """The token of a link for an entry as it is now."""
    return signing.dumps([entry.pk, entry.link_number], salt=_salt(purpose))


def url_for(entry: Entry, purpose: Purpose) -> str:
    """The whole address of the link."""
    return f"{loa('PUBLIC_ORIGIN')}/waitlist/{purpose}/{token_for(entry, purpose)}"


def link_of(token: str, purpose: Purpose) -> Link:
    """What a token says. Raises LinkRefused when it is not ours, not for this, or too old."""
    if len(token) > TOKEN_LENGTH_MAX:
        raise LinkRefused
    try:
        entry_id, number = signing.loads(token, salt=_salt(purpose), max_age=LIFETIMES[purpose])
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise LinkRefused from error
    return Link(str(entry_id), int(number))


def entry_of(token: str, purpose: Purpose, *, locks: bool = False) -> Entry:
    """The entry a token names. Locks its row when asked. Raises LinkRefused, also when a single-use link was used."""
    link = link_of(token, purpose)
    rows = Entry.objects.select_for_update() if locks else Entry.objects
    entry = rows.filter(pk=link.entry_id).first()
    if entry is None or (purpose in SINGLE_USE and entry.link_number != link.number):
        raise LinkRefused
    return entry


def _salt(purpose: Purpose) -> str:
    return f"waitlist.{purpose}"
