"""Credit notes: money a payer has with us that no call has used yet.

A note is issued when work costs less than was paid (kind CHANGE) or when paid work was not delivered
(kind OWED). CHANGE expires, as the terms say; OWED is the payer's money and never does (rule R15).
Notes are spent oldest first; expiry is judged by the database's clock when they are spent, not when a sweep runs.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from billing.domain.accounts import MAX_CREDIT_BALANCE
from billing.domain.errors import CreditNoteCapExceeded, CreditNoteDeltaExceeded

CHANGE_LIFETIME: Final = timedelta(days=7)
RETURNED_LIFETIME: Final = timedelta(hours=24)  # the least a note gets when a hold gives money back to it


class NoteKind(StrEnum):
    CHANGE = "change"
    OWED = "owed"


@dataclass(frozen=True, slots=True)
class CreditNote:
    """What is left on a note. Units: MicroUSDC."""

    note_id: str
    kind: NoteKind
    remaining: int
    expires_at: datetime | None

    def is_spendable(self, now: datetime) -> bool:
        """Whether the note can pay at `now`; at the very moment of expiry it cannot."""
        return self.remaining > 0 and (self.expires_at is None or now < self.expires_at)


def require_headroom(*, balance: int, delta: int, cap: int = MAX_CREDIT_BALANCE) -> None:
    """Refuse a note that would lift the wallet above its cap; a balance exactly at the cap is allowed.

    Checked before a payment is taken, so that issuing its change can never fail (rule R32). Units: MicroUSDC.
    Raises CreditNoteCapExceeded, carrying balance, delta and cap.
    """
    if balance + delta > cap:
        raise CreditNoteCapExceeded(balance=balance, delta=delta, cap=cap)


def require_delta(*, delta: int, cap: int) -> None:
    """Refuse a single note above the risk limit for one note. Units: MicroUSDC. Raises CreditNoteDeltaExceeded."""
    if not 0 < delta <= cap:
        raise CreditNoteDeltaExceeded(delta=delta, cap=cap)


def plan_spending(notes: list[CreditNote], *, amount: int, now: datetime) -> list[tuple[CreditNote, int]]:
    """Which notes pay `amount`, oldest first, and how much of each; empty when they cannot pay all of it."""
    plan, missing = [], amount
    for note in notes:
        if not note.is_spendable(now):
            continue
        share = min(note.remaining, missing)
        plan.append((note, share))
        missing -= share
        if missing == 0:
            return plan
    return []


def returned_expiry(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """When a note expires that a released hold gave money back to: never earlier than a day from now (rule R32)."""
    return None if expires_at is None else max(expires_at, now + RETURNED_LIFETIME)
