"""Settling through a facilitator elsewhere, over HTTP, behind the settlement circuit (plan 12.3).

Each payment is one call, made by a thread that holds no database connection. What the facilitator says is kept and
never believed: a payment is settled when our own node shows its Transfer (R17). An answer that never came, or that the
chain does not bear out, leaves the payment with the facilitator until the authorization is still unused some blocks
after the bytes left; then it is released, and the next way of settling may take it.

Failures of transport, unreadable answers and claims that the chain refutes count against the circuit; a refusal of one
payment does not.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from outbound.breaker import CALLS_UNTIL_CLOSED, State
from outbound.breaker_state import CircuitOpen, Permit, settlement_breaker
from outbound.json_rpc import RpcClient
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.chain import receipts
from x402.chain.network_settings import Network
from x402.chain.verification_state import AuthorizationState, ChainState, verify_chain_state
from x402.facilitators import remote_rows
from x402.facilitators.base import Evidence, Failure, Outcome, Submitted
from x402.facilitators.due_payments import DuePayment
from x402.facilitators.remote_client import Answer, RemoteClient
from x402.models import RemoteOutcome
from x402.protocol.payload import Authorization
from x402.protocol.schemes.exact_eip3009 import ChainQuestions

IN_FLIGHT_MAX = 64  # calls to one facilitator at once; each waits for a block, in a thread of its own
SEARCH_MARGIN_SECONDS = 120  # how far before our own call the chain is searched: others may carry it earlier
LOOK_SHARE_OF_BLOCK = 0.25
FASTEST_LOOK_SECONDS = 0.1

log = get_logger(__name__)


@dataclass(slots=True)
class _Flight:
    due: DuePayment
    call: "Future[Answer]"
    permit: Permit
    started_at: float
    answer: Answer | None = None
    is_reported: bool = False
    outcome: Outcome | None = None
    settled: bool = field(default=False)


class RemoteFacilitator:
    """Settles at `LOA["FACILITATOR_URL"]`. Not thread-safe: one settler thread owns it."""

    method = "remote"

    def __init__(self, *, network: Network, rpc: RpcClient, is_alone: bool = False) -> None:
        self._network = network
        self._rpc = rpc
        self._client = RemoteClient(
            loa("FACILITATOR_URL"),
            token=loa("FACILITATOR_TOKEN"),
            timeout_seconds=float(loa("FACILITATOR_TIMEOUT_SECONDS")),
        )
        self._wish = remote_rows.Wish(network.caip2, facilitator=self._client.url[:200], once=not is_alone)
        self._threads = ThreadPoolExecutor(IN_FLIGHT_MAX, thread_name_prefix="facilitator")
        self._flights: dict[str, _Flight] = {}
        self._look_at = 0.0
        self.released: tuple[str, ...] = ()
        self.is_open = False

    def submit(self) -> Submitted:
        """Hand over what is due, while the circuit lets calls through. Locks the due payment rows, not the network.

        `is_open` says afterwards whether the circuit kept payments back; `released` is emptied.
        """
        self.released, self.is_open = (), False
        room = IN_FLIGHT_MAX - len(self._flights)
        if room <= 0 or not remote_rows.is_anything_waiting(self._wish):
            return Submitted(payment_ids=(), is_leader=True)
        try:
            permit = settlement_breaker.admit()
        except CircuitOpen as circuit:
            self.is_open = True
            return Submitted(payment_ids=(), is_leader=True, retry_after_seconds=circuit.retry_after_seconds)
        is_probe = permit.admission != CALLS_UNTIL_CLOSED
        taken = remote_rows.take(self._wish, limit=1 if is_probe else room)
        for due in taken:
            call = self._threads.submit(self._client.settle, due, network=self._network)
            self._flights[due.payment_id] = _Flight(due, call, permit, started_at=time.monotonic())
        self.is_open = is_probe  # while one payment probes, the others go another way
        return Submitted(payment_ids=tuple(due.payment_id for due in taken), is_leader=True)

    def collect(self) -> Sequence[Outcome]:
        """What the chain shows of everything handed over, in one batched call now and then. Raises RpcFailure."""
        for flight in self._flights.values():
            self._hear(flight)
        self._give_back([flight for flight in self._open() if _was_not_sent(flight)], reason=remote_rows.NOTHING_SENT)
        answered = [flight for flight in self._open() if flight.answer is not None]
        if answered and time.monotonic() >= self._look_at:
            self._look(answered)
            pause = max(FASTEST_LOOK_SECONDS, self._network.block_seconds * LOOK_SHARE_OF_BLOCK)
            self._look_at = time.monotonic() + (pause if self._open() else 0.0)
        return [flight.outcome for flight in self._flights.values() if flight.outcome is not None]

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """These are booked: their attempts end."""
        ours = [outcome.payment_id for outcome in outcomes if outcome.payment_id in self._flights]
        for payment_id in ours:
            del self._flights[payment_id]
        if ours:
            remote_rows.close(ours)

    def pending_count(self) -> int:
        return len(self._flights)

    def release(self) -> None:
        """There is no key to give back."""

    def _open(self) -> list[_Flight]:
        return [flight for flight in self._flights.values() if flight.outcome is None]

    def _hear(self, flight: _Flight) -> None:
        """Take an answer that arrived: keep it, and report to the circuit what is clear already."""
        if flight.answer is not None or not flight.call.done():
            return
        answer = flight.answer = flight.call.result()
        remote_rows.note_answer(
            flight.due.payment_id,
            outcome=answer.outcome,
            transaction_hash=answer.transaction,
            reason=answer.reason,
        )
        if answer.outcome is RemoteOutcome.CLAIMED and answer.transaction:
            self._look_at = 0.0
            return
        is_fault = answer.is_fault or answer.outcome is RemoteOutcome.CLAIMED
        self._report(flight, is_fault=is_fault)
        if is_fault or answer.outcome is not RemoteOutcome.REFUSED:
            log.warning(
                names.FACILITATOR_ERROR,
                payment_id=flight.due.payment_id,
                outcome=str(answer.outcome),
                reason=answer.reason or "success without a transaction",
            )

    def _report(self, flight: _Flight, *, is_fault: bool) -> None:
        if flight.is_reported:
            return
        flight.is_reported = True
        if is_fault:
            settlement_breaker.failed(flight.permit)
        else:
            settlement_breaker.succeeded(flight.permit)

    def _look(self, flights: Sequence[_Flight]) -> None:
        """Ask the chain about these authorizations: paid, used for something else, or still unused."""
        questions = [
            ChainQuestions(
                asset=bytes.fromhex(flight.due.asset[2:]),
                payer=flight.due.authorization.from_,
                nonce=flight.due.authorization.nonce_bytes,
                value=flight.due.authorization.value,
            )
            for flight in flights
        ]
        seen = verify_chain_state(self._rpc, questions, multicall3=self._network.multicall3)
        unused: list[_Flight] = []
        for flight, state in zip(flights, seen.authorizations, strict=True):
            if state.is_used:
                self._read_use(flight, seen)
            elif self._may_go(flight):
                unused.append(flight)
                self._end_unused(flight, state)
        self._give_back([flight for flight in unused if flight.outcome is None], reason="facilitator_did_not_settle")

    def _read_use(self, flight: _Flight, seen: ChainState) -> None:
        """The nonce is used: by the transfer that pays us, once it is deep enough, or by something else."""
        due = flight.due
        if not isinstance(due.authorization, Authorization):
            raise TypeError("only EIP-3009 authorizations are handed over")
        seconds = time.monotonic() - flight.started_at + SEARCH_MARGIN_SECONDS
        use = receipts.find_use(
            self._rpc,
            asset=due.asset,
            authorization=due.authorization,
            from_block=max(0, seen.block.number - int(seconds / self._network.block_seconds) - 1),
            to_block=seen.block.number,
        )
        if use is None or use.use is not receipts.Use.PAID:
            self._report(flight, is_fault=flight.answer is not None and flight.answer.outcome is RemoteOutcome.CLAIMED)
            flight.outcome = Failure(due.payment_id, "nonce_already_used", "")
            return
        if seen.block.number - use.log.block_number + 1 < self._network.confirmations:
            return
        self._report(flight, is_fault=False)
        flight.outcome = Evidence(
            payment_id=due.payment_id,
            transaction_hash=use.log.transaction_hash,
            block_hash=use.log.block_hash,
            block_number=use.log.block_number,
            log_index=use.log.log_index,
        )

    def _may_go(self, flight: _Flight) -> bool:
        """Whether an unused nonce now means that the facilitator did not carry this payment."""
        if flight.answer is not None and flight.answer.outcome is RemoteOutcome.REFUSED:
            return True
        return time.monotonic() - flight.started_at > loa("FACILITATOR_HANDOVER_SECONDS")

    def _end_unused(self, flight: _Flight, state: AuthorizationState) -> None:
        """A claim the chain refutes is a fault. A payer whose money is gone is not worth another transaction."""
        claimed = flight.answer is not None and flight.answer.outcome is RemoteOutcome.CLAIMED
        self._report(flight, is_fault=claimed)
        if state.balance < flight.due.authorization.value:
            flight.outcome = Failure(flight.due.payment_id, "insufficient_funds", "")

    def _give_back(self, flights: Sequence[_Flight], *, reason: str) -> None:
        if not flights:
            return
        ids = [flight.due.payment_id for flight in flights]
        self.released += tuple(remote_rows.release(ids, reason=reason))
        for payment_id in ids:
            del self._flights[payment_id]


def is_circuit_open() -> bool:
    """Whether the facilitator is left alone now, or is being tried with one payment."""
    return settlement_breaker.state() is not State.CLOSED


def _was_not_sent(flight: _Flight) -> bool:
    return flight.answer is not None and flight.answer.outcome is RemoteOutcome.NOTHING_SENT
