"""Settlement scripted at the facilitator boundary: what the chain would show is decided by the test (plan 12.4)."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from x402.facilitators.base import Evidence, Failure, Outcome, Submitted
from x402.models import Payment, PaymentState


@dataclass(slots=True)
class ScriptedFacilitator:
    """Settles exactly one payment: with a Transfer log, or with the failure it was told."""

    payment_id: str
    failure: str = ""
    method: str = "scripted"
    outcomes: list[Outcome] = field(default_factory=list)

    def submit(self) -> Submitted:
        """Move the payment to `settling` under an invented transaction, as a relayer does before it sends."""
        transaction_hash = "0x" + secrets.token_hex(32)
        moved = Payment.objects.filter(pk=self.payment_id, state=PaymentState.VERIFIED).update(
            state=PaymentState.SETTLING, transaction_hash=transaction_hash
        )
        if not moved:
            return Submitted(payment_ids=(), is_leader=True)
        self.outcomes = [
            Failure(self.payment_id, self.failure, transaction_hash)
            if self.failure
            else Evidence(self.payment_id, transaction_hash, "0x" + secrets.token_hex(32), block_number=7, log_index=1)
        ]
        return Submitted(payment_ids=(self.payment_id,), is_leader=True)

    def collect(self) -> Sequence[Outcome]:
        """What the script says the chain shows."""
        return self.outcomes

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """The outcomes are booked."""
        self.outcomes = [outcome for outcome in self.outcomes if outcome not in outcomes]

    def pending_count(self) -> int:
        """Nothing is ever on its way."""
        return 0

    def release(self) -> None:
        """There is no key to give back."""
