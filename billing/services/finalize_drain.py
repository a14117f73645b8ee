"""Working off the finalize queue: booking what was served and could not be booked then.

One run leases what is due, oldest first, and tries each letter once. A letter that the ledger refuses counts an
attempt; the fifth refusal poisons it and marks its entry as one that people must look at. An outage, or a fence that
lets nobody write, ends the run: the letters go back uncounted, and the next run finds them. Running it twice, or in
two processes, books once.
"""

from dataclasses import dataclass

from billing.domain.errors import BillingError, Retryable, WrongState
from billing.locks.errors import FenceRefused
from billing.services import dead_letters
from billing.services.dead_letters import DeadLetter
from billing.services.finalization import fail_finalize, retry_finalize
from telemetry import names
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What one run did."""

    booked: int = 0
    refused: int = 0
    poisoned: int = 0
    paused: int = 0


def drain_finalize(*, limit: int = dead_letters.DUE_MAX) -> DrainReport:
    """Try every finalize letter that is due, once; what came of them.

    Concurrency: letters are leased to this run; the append function decides by key, so a letter that was booked by
    someone else resolves without a second booking.
    """
    letters = dead_letters.due("finalize", limit, owner=new_id("drain"))
    booked = refused = poisoned = 0
    for place, letter in enumerate(letters):
        try:
            retry_finalize(letter.payload)
        except (Retryable, FenceRefused) as error:
            return _pause(letters[place:], error, DrainReport(booked, refused, poisoned))
        except (BillingError, KeyError, ValueError, TypeError) as error:
            updated = dead_letters.record_attempt(letter, error=f"{type(error).__name__}: {error}", is_refusal=True)
            refused += 1
            if updated.state == "poisoned":
                poisoned += 1
                _mark_failed(letter, reason=updated.last_error)
        else:
            dead_letters.resolve(letter, resolution="booked")
            booked += 1
    return DrainReport(booked, refused, poisoned)


def _pause(letters: list[DeadLetter], error: BillingError, so_far: DrainReport) -> DrainReport:
    for letter in letters:
        dead_letters.record_attempt(letter, error=f"{type(error).__name__}: {error}", is_refusal=False)
    return DrainReport(so_far.booked, so_far.refused, so_far.poisoned, len(letters))


def _mark_failed(letter: DeadLetter, *, reason: str) -> None:
    """Say on the entry that people must look; an entry that is elsewhere already says so itself."""
    if not letter.entry_id:
        return
    try:
        fail_finalize(entry_id=letter.entry_id, reason=reason[:200])
    except WrongState as error:
        log.warning(names.JOURNAL_REFUSED, dead_letter_id=letter.id, reason=str(error)[:200])
