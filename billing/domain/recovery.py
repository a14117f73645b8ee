"""Whether this is still the database that served before, with everything in it (rule R10).

A failover to a replica that lagged, a backup put back, an old server that woke up: each answers queries as if nothing
had happened, and each has forgotten money that was acknowledged. Three things tell it apart. The server's identity and
timeline must be those that were last accepted in the ledger itself; what was written down outside must not be ahead of
what the database knows; and every head that an anchor saw must still be in its stream. Any doubt means recovery:
nothing is settled, refunded or spent until a person has compared the books with the chain and accepted this past.

An acceptance is a row with an id of its own. A note outside names the acceptance it was made under, so that a database
that does not know that acceptance was replaced by an older one, while a note under an earlier acceptance is merely old.
Positions are bytes of the write-ahead log that were flushed; they only ever grow on one timeline.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NO_ACCEPTANCE: Final = ""


class Doubt(StrEnum):
    """Why this database may have lost something."""

    OTHER_SERVER = "other_server"
    TIMELINE_CHANGED = "timeline_changed"
    ACCEPTANCE_LOST = "acceptance_lost"
    POSITION_WENT_BACK = "position_went_back"
    ANCHORED_HEAD_MISSING = "anchored_head_missing"
    RELAYER_AHEAD = "relayer_ahead"  # the chain mined transactions of a relayer that no row knows (R25)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is in its history: which server, which timeline, how far. Units: bytes of write-ahead log."""

    server: str
    timeline: int
    position: int


@dataclass(frozen=True, slots=True)
class Note:
    """What was written down outside the database: the place it was at, under which acceptance."""

    acceptance_id: str
    place: Place


@dataclass(frozen=True, slots=True)
class Past:
    """What the database says of itself: where it is, and what was last accepted of it.

    `is_note_known` says whether it knows the acceptance that the note outside names.
    """

    place: Place
    acceptance_id: str
    accepted_server: str
    accepted_timeline: int
    is_note_known: bool

    @property
    def note(self) -> Note:
        """What to write down outside when there is no doubt."""
        return Note(self.acceptance_id, self.place)


def doubts_of(past: Past, note: Note | None) -> tuple[Doubt, ...]:
    """Every reason to doubt this past; empty when there is none. The note must have been read before the past was.

    >>> here = Place("7", 1, 500)
    >>> past = Past(here, "rec_a", "7", 1, is_note_known=True)
    >>> doubts_of(past, Note("rec_a", Place("7", 1, 400)))
    ()
    >>> doubts_of(past, Note("rec_a", Place("7", 1, 501)))
    (<Doubt.POSITION_WENT_BACK: 'position_went_back'>,)
    """
    found = []
    if past.place.server != past.accepted_server:
        found.append(Doubt.OTHER_SERVER)
    elif past.place.timeline != past.accepted_timeline:
        found.append(Doubt.TIMELINE_CHANGED)
    if note is None:
        return tuple(found)
    if not past.is_note_known:
        found.append(Doubt.ACCEPTANCE_LOST)
    elif note.acceptance_id == past.acceptance_id and _is_ahead(note.place, past.place):
        found.append(Doubt.POSITION_WENT_BACK)
    return tuple(found)


def _is_ahead(noted: Place, now: Place) -> bool:
    is_same_history = (noted.server, noted.timeline) == (now.server, now.timeline)
    return is_same_history and noted.position > now.position
