"""Where somebody stands, and whether mail is slow at the moment."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Min, Q
from django.utils import timezone

from waitlist.models import Entry, Mail
from waitlist.models.entry import EntryState

SLOW_AFTER: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the line, counted from one, and how many wait altogether."""

    number: int
    waiting: int


def place_of(entry: Entry) -> Place | None:
    """The place of somebody who waits, else None. Reads the index of the order only."""
    if entry.state != EntryState.WAITING or entry.rank_at is None:
        return None
    waiting = Entry.objects.filter(state=EntryState.WAITING)
    in_front = waiting.filter(Q(rank_at__lt=entry.rank_at) | Q(rank_at=entry.rank_at, id__lt=entry.pk))
    return Place(in_front.count() + 1, waiting.count())


def place_among_first(entry: Entry, *, most: int) -> int | None:
    """The place of somebody who waits among the first `most`, else None. Reads no more than so many rows."""
    if entry.state != EntryState.WAITING or entry.rank_at is None:
        return None
    in_front = Entry.objects.filter(state=EntryState.WAITING).order_by("rank_at", "id").values_list("pk", flat=True)
    first = list(in_front[:most])
    return first.index(entry.pk) + 1 if entry.pk in first else None


def is_mail_slow() -> bool:
    """Whether the oldest mail in the queue has waited for minutes. Says nothing about any one person."""
    oldest = Mail.objects.filter(state=Mail.State.QUEUED).aggregate(oldest=Min("created_at"))["oldest"]
    return oldest is not None and timezone.now() - oldest > SLOW_AFTER
