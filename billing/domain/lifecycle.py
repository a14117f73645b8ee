"""The life of a billing entry: one piece of work, from the reservation of its money to the booking of its cost.

IDLE means that no row exists yet; the journal that reserves the money makes it. COMMITTED means that the actual
cost is stored; FINALIZE_ACKED that its journal is appended, normally in the same call. FINALIZE_PENDING means that
the append was refused or impossible and that a dead letter exists; FINALIZE_FAILED that people must look at it.
The table below is also rows of `billing.entry_lifecycle`, which a trigger reads; a test compares the two.
"""

from enum import StrEnum
from typing import Final

from billing.domain.errors import WrongState


class EntryState(StrEnum):
    IDLE = "IDLE"
    RESERVE_HELD = "RESERVE_HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    FINALIZE_PENDING = "FINALIZE_PENDING"
    FINALIZE_ACKED = "FINALIZE_ACKED"
    FINALIZE_FAILED = "FINALIZE_FAILED"
    VOIDED = "VOIDED"


MOVES: Final = frozenset(
    {
        (EntryState.IDLE, EntryState.RESERVE_HELD),
        (EntryState.RESERVE_HELD, EntryState.COMMITTED),
        (EntryState.RESERVE_HELD, EntryState.RELEASED),
        (EntryState.COMMITTED, EntryState.FINALIZE_ACKED),
        (EntryState.COMMITTED, EntryState.FINALIZE_PENDING),
        (EntryState.COMMITTED, EntryState.VOIDED),
        (EntryState.FINALIZE_PENDING, EntryState.FINALIZE_ACKED),
        (EntryState.FINALIZE_PENDING, EntryState.FINALIZE_FAILED),
        (EntryState.FINALIZE_FAILED, EntryState.FINALIZE_ACKED),
        (EntryState.FINALIZE_FAILED, EntryState.VOIDED),
    }
)
FINAL_STATES: Final = frozenset({EntryState.FINALIZE_ACKED, EntryState.RELEASED, EntryState.VOIDED})
BIRTH_STATE: Final = EntryState.RESERVE_HELD


def is_allowed(from_state: EntryState, to_state: EntryState) -> bool:
    """Whether an entry may move so."""
    return (from_state, to_state) in MOVES


def require_move(from_state: EntryState, to_state: EntryState) -> None:
    """Refuse a move that the table does not hold. Raises WrongState."""
    if not is_allowed(from_state, to_state):
        raise WrongState(state=str(from_state), expected=str(to_state))
