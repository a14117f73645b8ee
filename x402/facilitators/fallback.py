"""A remote facilitator first, our own relayer behind it; never both for one payment at once (R17, plan 12.3).

While the circuit is closed the facilitator has every payment it can settle. A payment goes to the relayer when the
circuit is open, when nothing was sent, or when the chain shows its authorization unused some blocks after it was sent.
"""

from collections.abc import Sequence

from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.logging import get_logger
from x402.facilitators.base import Outcome, Submitted
from x402.facilitators.direct import CANNOT_SEND_SECONDS, DirectFacilitator
from x402.facilitators.remote import RemoteFacilitator, is_circuit_open

log = get_logger(__name__)


class FallbackFacilitator:
    """Both ways behind one face. Not thread-safe: one settler thread owns it."""

    method = "fallback"

    def __init__(self, first: RemoteFacilitator, second: DirectFacilitator) -> None:
        self._first = first
        self._second = second

    def submit(self) -> Submitted:
        """Hand over what is due, then let the relayer take what is left to it. Locks the due payment rows.

        A relayer that cannot work now costs the facilitator's payments nothing: they are still followed.
        """
        handed = self._first.submit()
        try:
            sent = self._second.submit(leaves_to_remote=not self._first.is_open)
        except RpcFailure as failure:
            log.warning(names.FACILITATOR_ERROR, outcome="direct_unavailable", reason=type(failure).__name__)
            sent = Submitted(payment_ids=(), is_leader=True, retry_after_seconds=CANNOT_SEND_SECONDS)
        follows = bool(handed.payment_ids) or self._first.pending_count() > 0
        return Submitted(
            payment_ids=handed.payment_ids + sent.payment_ids,
            is_leader=follows or sent.is_leader,
            retry_after_seconds=self._retry_after(handed, sent),
        )

    def _retry_after(self, handed: Submitted, sent: Submitted) -> int:
        """When one of the ways may be open again, if neither is now; else 0."""
        if not sent.retry_after_seconds or not (self._first.is_open or is_circuit_open()):
            return 0
        return min(sent.retry_after_seconds, handed.retry_after_seconds or sent.retry_after_seconds)

    def collect(self) -> Sequence[Outcome]:
        """What is known of both ways. Raises RpcFailure."""
        return [*self._first.collect(), *self._second.collect()]

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """These outcomes are booked; do not report them again."""
        self._first.forget(outcomes)
        self._second.forget(outcomes)

    def pending_count(self) -> int:
        return self._first.pending_count() + self._second.pending_count()

    def release(self) -> None:
        """Give the relayer's key back, when nothing is pending."""
        self._second.release()
