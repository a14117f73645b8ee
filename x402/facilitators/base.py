"""What every way of settling promises, so that services can use any of them.

A facilitator takes due payments, sends them, and later says what the chain shows. It never moves a payment to
`settled`: it returns evidence, and the service books it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Evidence:
    """The one Transfer log that paid: where it stands on the chain. All hashes are 0x-prefixed lower-case hex."""

    payment_id: str
    transaction_hash: str
    block_hash: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Failure:
    """The chain shows that this submission did not pay. The authorization itself may still be alive (R5)."""

    payment_id: str
    reason: str
    transaction_hash: str


Outcome = Evidence | Failure


@dataclass(frozen=True, slots=True)
class Submitted:
    """Payments that left for the chain. `is_leader` is False when another process writes with this key now.

    `retry_after_seconds` above 0: there is no way to send anything now, and this is when to ask again.
    """

    payment_ids: tuple[str, ...]
    is_leader: bool
    retry_after_seconds: int = 0


class Facilitator(Protocol):
    """One way of settling on one network. Used by one thread of a process at a time."""

    method: str

    def submit(self) -> Submitted:
        """Take what is due, send it. Locks the due payment rows; holds no lock while it talks to the network."""

    def collect(self) -> Sequence[Outcome]:
        """What is known now of everything sent before. Asking again gives the same outcomes until `forget`."""

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """These outcomes are booked; do not report them again."""

    def pending_count(self) -> int:
        """How many submissions are still without an outcome."""

    def release(self) -> None:
        """Let another process take over, when nothing is pending."""
