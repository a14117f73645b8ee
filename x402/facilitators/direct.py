"""Our own relayer: many EIP-3009 authorizations in one Multicall3 transaction, each with its own result.

The signed transaction is stored before it is broadcast, in the database transaction that moves its payments to
`settling` (R25, R7). What is on the chain is read from receipts; each payment is attributed to its own log (R3).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from billing.domain.recovery import Doubt
from billing.services import recovery
from outbound.json_rpc import RpcClient, RpcFailure, number_of
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.chain import multicall, permit2, permit2_receipts, receipts, signers, tokens, transactions
from x402.chain.network_settings import Network
from x402.facilitators import facilitated_rows, payers_with_code, relayer_lease, stuck_transactions, transaction_rows
from x402.facilitators.base import Evidence, Failure, Outcome, Submitted
from x402.facilitators.due_payments import DuePayment
from x402.facilitators.facilitated_rows import OTHER_SITES
from x402.facilitators.stuck_transactions import Case
from x402.facilitators.transaction_rows import OUR_PAYMENTS, PendingTransaction
from x402.protocol.payload import Authorization

BATCH_LIMIT = 50
GAS_PER_TRANSACTION = 60_000
GAS_MARGIN_PERCENT = 130
REBROADCAST_AFTER_SECONDS = 0.5
STUCK_AFTER_BLOCKS = 5  # then the same calls are offered again with higher fees
REPEAT_AFTER_BLOCKS = 2  # a node may say that it took a transaction and lose it; later ones would wait behind it

CANNOT_SEND_SECONDS = 5  # fees, gas money and nodes are looked at again after this long

log = get_logger(__name__)


class TooLittleGasMoney(Exception):
    """Raised before anything is stored when the relayer's coin does not cover what a transaction may cost."""

    def __init__(self, *, needed_wei: int, has_wei: int) -> None:
        super().__init__(f"{needed_wei} wei are needed, the relayer has {has_wei}")


@dataclass(slots=True)
class _Sent:
    transaction: PendingTransaction
    tried_at: float = 0.0
    since: float = field(default_factory=time.monotonic)
    earlier: list[PendingTransaction] = field(default_factory=list)  # what it replaces, any of which may be mined
    outcomes: list[Outcome] = field(default_factory=list)


class DirectFacilitator:
    """Settles with the relayer's key on one network. Not thread-safe: one settler thread owns it."""

    method = "direct"

    def __init__(self, *, network: Network, rpc: RpcClient, private_key: str, is_retired: bool = False) -> None:
        self._network = network
        self._rpc = rpc
        self._signer = signers.signer_of(private_key)
        self._is_retired = is_retired
        self._epoch: int | None = None
        self._renew_at = 0.0
        self._next_nonce = 0
        self._pending: dict[int, _Sent] = {}
        self._fees: transactions.Fees | None = None
        self._fees_until = 0.0
        self._gas_money_wei = 0

    @property
    def address(self) -> str:
        return self._signer.address.lower()

    def submit(self, *, leaves_to_remote: bool = False) -> Submitted:
        """Take every due payment, up to the batch limit, store and broadcast one transaction for them.

        Nothing is stored that the relayer could not send: above the ceiling for fees, or without the coin for them.
        With `leaves_to_remote`, only those that no facilitator elsewhere could take or that one has given back.
        Locks the relayer row and the due payment rows while it signs; no lock is held during the broadcast.
        """
        if not self._lead():
            return Submitted(payment_ids=(), is_leader=False)
        lead = transaction_rows.Lead(
            self._network.caip2,
            relayer=self.address,
            epoch=self._epoch or 0,
            leaves_to_remote=leaves_to_remote,
            is_retired=self._is_retired,
        )
        sent: tuple[str, ...] = ()
        try:
            self._rebroadcast()
            for queue in (OUR_PAYMENTS, OTHER_SITES):  # ours first; other sites' in a transaction of their own
                if queue.is_anything_due(self._network.caip2):
                    fees = self._current_fees()
                    if queue is OUR_PAYMENTS:
                        payers_with_code.mark(self._rpc, self._network, limit=BATCH_LIMIT)
                    sent += self._send(queue.store_batch(lead, limit=BATCH_LIMIT, sign=self._signer_at(fees)))
        except transaction_rows.LeaseLost:
            self._epoch, self._pending = None, {}
            return Submitted(payment_ids=(), is_leader=False)
        except (transactions.FeeCeilingReached, TooLittleGasMoney) as reason:
            # Nothing was stored, so nothing can be carried later; what was sent before is still followed.
            log.error(names.RELAYER_CANNOT_SEND, network=self._network.caip2, reason=str(reason))
            return Submitted(payment_ids=sent, is_leader=True, retry_after_seconds=CANNOT_SEND_SECONDS)
        return Submitted(payment_ids=sent, is_leader=True)

    def _signer_at(self, fees: transactions.Fees) -> Callable[[Sequence[DuePayment]], transactions.SignedTransaction]:
        """Signs a batch with the next account nonce at these fees."""
        return lambda due: self._sign(due, nonce=self._next_nonce, fees=fees)

    def _send(self, stored: PendingTransaction | None) -> tuple[str, ...]:
        """Broadcast a stored transaction and follow it; the payments it carries."""
        if stored is None:
            return ()
        self._next_nonce = stored.nonce + 1
        self._pending[stored.nonce] = _Sent(stored)
        self._broadcast(self._pending[stored.nonce])
        return tuple(due.payment_id for due in stored.payments)

    def collect(self) -> Sequence[Outcome]:
        """Outcomes of every transaction that is mined deep enough. One batched RPC call; none when nothing pends."""
        unknown = [
            (sent, version)
            for sent in self._pending.values()
            if not sent.outcomes
            for version in (sent.transaction, *sent.earlier)
        ]
        if unknown:
            calls = [("eth_getTransactionReceipt", [version.transaction_hash]) for _, version in unknown]
            if self._network.confirmations > 1:
                calls.append(("eth_blockNumber", []))
            answers = self._rpc.batch(calls)
            head = int(str(answers.pop()), 16) if self._network.confirmations > 1 else None
            for (sent, version), answer in zip(unknown, answers, strict=True):
                if isinstance(answer, dict) and self._is_deep_enough(answer, head):
                    sent.transaction = version
                    self._read_receipt(sent, answer)
        return [outcome for sent in self._pending.values() for outcome in sent.outcomes]

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """Mark the transactions behind these booked outcomes as mined."""
        done = {outcome.transaction_hash for outcome in outcomes}
        mined = [nonce for nonce, sent in self._pending.items() if sent.transaction.transaction_hash in done]
        ended = [self._pending.pop(nonce).transaction for nonce in mined]
        transaction_rows.mark_mined([one for one in ended if one.block_hash])
        stuck_transactions.mark_dropped([one for one in ended if not one.block_hash])

    def pending_count(self) -> int:
        return len(self._pending)

    def release(self) -> None:
        """Give the key to whoever asks next. Only when nothing is pending, so that one process follows its own."""
        if self._epoch is not None and not self._pending:
            relayer_lease.release(self._network.caip2, self.address, self._epoch)
            self._epoch = None

    def _lead(self) -> bool:
        """Whether this process holds the key. Storing a batch proves it again in the row, and renews it."""
        if self._epoch is not None and time.monotonic() < self._renew_at:
            return True
        lease = relayer_lease.acquire(self._network.caip2, self.address, self._epoch)
        if lease is None:
            self._epoch, self._pending = None, {}
            return False
        self._renew_at = time.monotonic() + relayer_lease.LEASE_SECONDS / 2
        if lease.is_new:
            self._epoch = lease.epoch
            self._take_over()
        return True

    def _take_over(self) -> None:
        """A new epoch: follow what earlier leaders stored, and continue their nonces.

        A chain behind our rows took mined transactions back: they are followed again, and their bytes sent again,
        since no later nonce can be mined before them (R24).
        """
        on_chain = int(str(self._rpc.call("eth_getTransactionCount", [self.address, "pending"])), 16)
        expected = transaction_rows.next_nonce_of(self._network.caip2, self.address)
        if on_chain > expected:
            log.error(names.RELAYER_NONCE_AHEAD, network=self._network.caip2, on_chain=on_chain, expected=expected)
            if transaction_rows.has_sent_before(self._network.caip2, self.address):
                recovery.enter(Doubt.RELAYER_AHEAD)  # rows of transactions that were mined are gone (R10)
        if on_chain < expected:
            transaction_rows.reopen(self._network.caip2, self.address, from_nonce=on_chain)
        pending = transaction_rows.pending_of(self._network.caip2, self.address, others=facilitated_rows.members_of)
        self._pending = {transaction.nonce: _Sent(transaction) for transaction in pending}
        self._next_nonce = max([on_chain, *(nonce + 1 for nonce in self._pending)])
        self._fees = None

    def _current_fees(self) -> transactions.Fees:
        if self._fees is None or time.monotonic() > self._fees_until:
            self._fees = None
            self._fees = transactions.current_fees(self._rpc, ceiling_wei=loa("RELAYER_FEE_CEILING_WEI"))
            self._gas_money_wei = number_of(self._rpc.call("eth_getBalance", [self.address, "latest"]))
            self._fees_until = time.monotonic() + self._network.block_seconds
        return self._fees

    def _sign(
        self, due: Sequence[DuePayment], *, nonce: int, fees: transactions.Fees
    ) -> transactions.SignedTransaction:
        if len(due) == 1:
            target, calldata = call_of(due[0])
        else:
            target, calldata = self._network.multicall3, batch_calldata(due)
        gas = (GAS_PER_TRANSACTION + sum(payment.gas for payment in due)) * GAS_MARGIN_PERCENT // 100
        if gas * fees.max_fee_per_gas_wei > self._gas_money_wei:
            raise TooLittleGasMoney(needed_wei=gas * fees.max_fee_per_gas_wei, has_wei=self._gas_money_wei)
        return self._signer.sign(
            transactions.Unsigned(
                chain_id=self._network.chain_id, nonce=nonce, to=target, data=calldata, gas_limit=gas, fees=fees
            )
        )

    def _rebroadcast(self) -> None:
        """Send again what no node took, soon, and what is still not mined after some blocks, whatever a node said.

        What is late is looked into, also when no node ever took it: its nonce may be somebody else's by now.
        """
        repeat_after = max(REBROADCAST_AFTER_SECONDS, REPEAT_AFTER_BLOCKS * self._network.block_seconds)
        is_late = False
        for sent in self._pending.values():
            patience = repeat_after if sent.transaction.is_broadcast else REBROADCAST_AFTER_SECONDS
            if not sent.outcomes and time.monotonic() - sent.tried_at > patience:
                is_late = is_late or time.monotonic() - sent.since > repeat_after
                self._broadcast(sent)
        if is_late:
            self._unstick()

    def _unstick(self) -> None:
        """Find out why the lowest pending transaction is not mined, and do what helps. Raises RpcFailure."""
        lowest = self._pending[min(self._pending)]
        versions = (lowest.transaction, *lowest.earlier)
        receipts_asked = [("eth_getTransactionReceipt", [one.transaction_hash]) for one in versions]
        count, *found = self._rpc.batch([("eth_getTransactionCount", [self.address, "latest"]), *receipts_asked])
        if lowest.outcomes or any(found):
            return
        case = stuck_transactions.case_of(on_chain=int(str(count), 16), lowest=lowest.transaction.nonce)
        if case is Case.VANISHED_BEFORE:
            self._take_over()
        elif case is Case.REPLACED:
            dropped = lowest.transaction.transaction_hash
            lowest.outcomes = [Failure(one.payment_id, "transaction_dropped", dropped) for one in versions[0].payments]
        elif lowest.transaction.is_broadcast and self._is_stuck(lowest):
            self._replace(lowest)

    def _is_stuck(self, sent: _Sent) -> bool:
        return time.monotonic() - sent.since > STUCK_AFTER_BLOCKS * self._network.block_seconds

    def _replace(self, sent: _Sent) -> None:
        """Offer the same calls with higher fees; at the ceiling it goes on waiting."""
        old = sent.transaction
        try:
            fees = transactions.raised_fees(
                transaction_rows.fees_of(old),
                current=self._current_fees(),
                ceiling_wei=loa("RELAYER_FEE_CEILING_WEI"),
            )
        except transactions.FeeCeilingReached as ceiling:
            log.error(names.RELAYER_BROADCAST_REFUSED, transaction_hash=old.transaction_hash, reason=str(ceiling))
            return
        lead = transaction_rows.Lead(self._network.caip2, relayer=self.address, epoch=self._epoch or 0)
        signed = self._sign(old.payments, nonce=old.nonce, fees=fees)
        sent.transaction = stuck_transactions.store_replacement(lead, old, signed=signed)
        sent.earlier.append(old)
        sent.since = time.monotonic()
        log.warning(names.TRANSACTION_REPLACED, replaced=old.transaction_hash, by=sent.transaction.transaction_hash)
        self._broadcast(sent)

    def _broadcast(self, sent: _Sent) -> None:
        """Send stored bytes. A refusal is not an outcome: the bytes stay ours to send again, the chain decides."""
        sent.tried_at = time.monotonic()
        try:
            self._rpc.call("eth_sendRawTransaction", ["0x" + sent.transaction.raw.hex()])
        except RpcFailure as refusal:
            if not transactions.is_already_known(refusal):
                log.warning(
                    names.RELAYER_BROADCAST_REFUSED,
                    transaction_hash=sent.transaction.transaction_hash,
                    reason=str(refusal),
                )
                return
        sent.transaction.is_broadcast = True

    def _is_deep_enough(self, receipt: Mapping[str, object], head: int | None) -> bool:
        if head is None:
            return True
        return head - int(str(receipt["blockNumber"]), 16) + 1 >= self._network.confirmations

    def _read_receipt(self, sent: _Sent, receipt: Mapping[str, object]) -> None:
        transaction = sent.transaction
        transaction.note_receipt(receipt)
        sent.outcomes = [self._outcome(due, transaction, receipt) for due in transaction.payments]

    def _outcome(self, due: DuePayment, transaction: PendingTransaction, receipt: Mapping[str, object]) -> Outcome:
        """What the receipt says of one of its payments. Raises RpcFailure when a nonce's bit cannot be read."""
        log_index = self._log_index(due, transaction, receipt)
        if log_index is None:
            return Failure(due.payment_id, "transaction_failed", transaction.transaction_hash)
        return Evidence(
            payment_id=due.payment_id,
            transaction_hash=transaction.transaction_hash,
            block_hash=transaction.block_hash,
            block_number=transaction.block_number or 0,
            log_index=log_index,
        )

    def _log_index(self, due: DuePayment, transaction: PendingTransaction, receipt: Mapping[str, object]) -> int | None:
        transfer = due.authorization
        if isinstance(transfer, Authorization):
            return receipts.transfer_of(receipt, asset=due.asset, authorization=transfer)
        found = permit2_receipts.transfers_of(receipt, permit=transfer, amount=due.amount)
        is_used = bool(found) and permit2_receipts.was_used_in(
            self._rpc, permit=transfer, block_hash=transaction.block_hash, block_number=transaction.block_number or 0
        )
        return found[0] if is_used else None


def batch_calldata(due: Sequence[DuePayment]) -> bytes:
    """One call for several payments. Raises ValueError for `upto`, whose caller would then be Multicall3 (R2)."""
    if any(payment.is_upto for payment in due):
        raise ValueError("an upto payment is settled by a call of its own")
    return multicall.encode_aggregate3([call_of(payment) for payment in due])


def call_of(due: DuePayment) -> tuple[str, bytes]:
    """Whom to call, and with what, so that this payment is made."""
    transfer = due.authorization
    if isinstance(transfer, Authorization):
        return due.asset, tokens.transfer_with_authorization(transfer)
    proxy = "0x" + permit2.proxy_of(transfer).hex()
    if transfer.facilitator is None:
        return proxy, permit2.settle_exact(transfer)
    return proxy, permit2.settle_upto(transfer, amount=due.amount)
