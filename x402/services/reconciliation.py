"""The whole treasury: transfers on the chain, settlements, journals and balances, compared and put right by evidence.

Payments whose outcome is unknown are resolved first. Then every transfer to and from our addresses since the last
comparison is looked up among the consumed logs: a payment's own is booked, a payer's without a row becomes an `owed`
note (R11), a plain deposit goes to suspense. A log that a payment rests on and that the chain no longer shows is a
reorganisation (`vanished`). At the end the treasury's balance on the chain is the ledger's, or the difference is named.
Differences are what a person must look at. With `applies=False` nothing is written but the report.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Min

from billing.domain import accounts
from billing.selectors import balances
from billing.services import recovery, settlements
from outbound.json_rpc import RpcClient, RpcFailure, bytes_of, number_of
from telemetry import names
from telemetry.logging import get_logger, log_metric
from x402.chain import abi, receipts, tokens
from x402.chain.network_settings import Asset, Network, networks
from x402.chain.receipts import Movement
from x402.models import ConsumedLog, FacilitatedPayment, Payment, PaymentState, Reconciliation
from x402.selectors.payments import payment_by_replay_key
from x402.selectors.reconciliations import compared_until
from x402.services import (
    evidence,
    facilitated_settlement,
    gas,
    recovery_matching,
    sweeps,
    treasury,
    vanished_settlements,
)
from x402.services.facilitated_booking import own_addresses
from x402.services.facilitator_choice import rpc_of

MARGIN_SECONDS: Final = 3_600  # blocks compared before and looked at again: a reorganisation may have changed them
LOOKS_MAX: Final = 5
LOOK_PAUSE_SECONDS: Final = 0.2
IN_FLIGHT: Final = (PaymentState.VERIFIED, PaymentState.SETTLING, PaymentState.SETTLEMENT_UNKNOWN)

log = get_logger(__name__)


@dataclass(slots=True)
class NetworkFigures:
    """What one network came to. Units: the assets' millionths; counts of transfers."""

    from_block: int
    to_block: int
    inflow_count: int = 0
    inflow_micro_usdc: int = 0
    outflow_count: int = 0
    outflow_micro_usdc: int = 0
    matched_count: int = 0
    booked: dict[str, int] = field(default_factory=dict)
    chain_micro_usdc: int = 0
    ledger_micro_usdc: int = 0
    pending_micro_usdc: int = 0

    def to_json(self) -> dict[str, object]:
        """Amounts as decimal strings."""
        return {
            name: str(value) if name.endswith("micro_usdc") else value
            for name in self.__dataclass_fields__
            for value in [getattr(self, name)]
        }


@dataclass(slots=True)
class Report:
    """Figures by network, and what does not agree: one dictionary each, with its `kind`."""

    applied: bool
    figures: dict[str, NetworkFigures] = field(default_factory=dict)
    differences: list[dict[str, object]] = field(default_factory=list)
    resolved: int = 0
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        return not self.differences


def reconcile(*, applies: bool) -> Report:
    """Compare everything, book what evidence allows, and keep the report for staff.

    Safe to repeat and to run beside payments: every step is idempotent. Locks what each booking locks, nothing longer.
    Raises RpcFailure when a chain cannot be read, and RecoveryInProgress: then `ledger` recovery compares (R10).
    """
    started = time.monotonic()
    recovery.require_none()
    report = Report(applied=applies)
    if applies:
        swept = sweeps.sweep_payments()
        report.resolved = swept.resolved + facilitated_settlement.sweep()
        gas.book_spent_gas()
    for network in networks().values():
        report.figures[network.caip2] = _compare(network, report)
    report.seconds = round(time.monotonic() - started, 3)
    _keep(report)
    return report


def _compare(network: Network, report: Report) -> NetworkFigures:
    rpc = rpc_of(network.caip2)
    to_block = max(0, number_of(rpc.call("eth_blockNumber")) - network.confirmations + 1)
    figures = NetworkFigures(_first_block(network, to_block=to_block), to_block)
    for asset in network.assets:
        seen: list[Movement] = []
        for address in sorted(own_addresses(network.caip2)):
            window = {"from_block": figures.from_block, "to_block": to_block}
            received, sent = receipts.movements(rpc, asset=asset.address, treasury=address, **window)
            seen += received
            _compare_inflows(network, asset, received, figures=figures, report=report)
            _compare_outflows(network, sent, figures=figures, report=report)
        report.differences += vanished_settlements.examine(
            network, asset, seen=seen, first_block=figures.from_block, applies=report.applied
        )
        _compare_balances(network, asset, rpc, figures=figures, report=report)
    return figures


def _first_block(network: Network, *, to_block: int) -> int:
    """Where to begin: an hour before the last comparison's end, else before the first payment ever settled."""
    known = compared_until(network.caip2)
    if known is None:
        known = Payment.objects.filter(network=network.caip2).aggregate(first=Min("block_number"))["first"]
    return max(0, (to_block if known is None else known) - int(MARGIN_SECONDS / network.block_seconds))


def _compare_inflows(
    network: Network, asset: Asset, received: Sequence[Movement], *, figures: NetworkFigures, report: Report
) -> None:
    if report.applied:
        _finish_deposits(network, asset, received)
    figures.inflow_count += len(received)
    figures.inflow_micro_usdc += sum(one.amount for one in received)
    unmatched = recovery_matching.unmatched(network, list(received))
    figures.matched_count += len(received) - len(unmatched)
    for movement in unmatched:
        outcome = _give(network, asset, movement, applies=report.applied)
        if outcome.startswith(("missing", "refused")):
            report.differences.append(_difference("unmatched_inflow", network, movement, outcome=outcome))
        figures.booked[outcome] = figures.booked.get(outcome, 0) + 1


def _give(network: Network, asset: Asset, movement: Movement, *, applies: bool) -> str:
    """Give unmatched money to whom it belongs; a word for what became of it, or for what is missing."""
    nonce = receipts.nonce_of(rpc_of(network.caip2), movement)
    if nonce:
        key = {"verifying_contract": asset.address.lower(), "payer": movement.sender, "nonce": nonce}
        payment = payment_by_replay_key(network.caip2, **key)
        if payment is not None:
            if payment.state in IN_FLIGHT and not applies:
                return "in_flight"
            return f"payment_{evidence.resolve(payment)}" if applies else "missing_payment_booking"
        carried = FacilitatedPayment.objects.filter(network=network.caip2, **key).first()
        if carried is not None:
            if applies:
                facilitated_settlement.resolve(carried)
            return "facilitated"
    if not applies:
        return "missing_owed_note" if nonce else "missing_deposit"
    return recovery_matching.owe(network, asset, movement) if nonce else _suspend(network, asset, movement)


def _suspend(network: Network, asset: Asset, movement: Movement) -> str:
    """Book a deposit that belongs to nothing we know to suspense, once."""
    found, beneficiary = movement.log, _deposit_id(network, movement)
    row, _ = ConsumedLog.objects.get_or_create(
        network=network.caip2,
        transaction_hash=found.transaction_hash,
        log_index=found.log_index,
        defaults={"beneficiary": beneficiary},
    )
    if row.beneficiary != beneficiary:
        return "consumed"
    settlements.book_unmatched_deposit(
        settlements.SettledPayment(
            payment_id=beneficiary,
            entry_id="",
            account_id="",
            wallet=movement.sender,
            network=network.caip2,
            asset_address=asset.address,
            pay_to=movement.recipient,
            amount_micro_usdc=movement.amount,
            tx_hash=found.transaction_hash,
            block_hash=found.block_hash,
            block_number=found.block_number,
            log_index=found.log_index,
            correlation_id=beneficiary,
            transition=None,
        )
    )
    return "suspense"


def _deposit_id(network: Network, movement: Movement) -> str:
    """The name under which a deposit consumes its log: the same each time, so that a second try finds the first."""
    return "dep_" + recovery_matching.beneficiary_of(network, movement).removeprefix("rec_")


def _finish_deposits(network: Network, asset: Asset, received: Sequence[Movement]) -> None:
    """Book deposits whose log an earlier comparison consumed and was stopped before it booked them. Safe to repeat."""
    ids = {_deposit_id(network, movement): movement for movement in received}
    begun = ConsumedLog.objects.filter(network=network.caip2, beneficiary__in=ids).values_list("beneficiary", flat=True)
    for beneficiary in begun:
        _suspend(network, asset, ids[beneficiary])


def _compare_outflows(network: Network, sent: Sequence[Movement], *, figures: NetworkFigures, report: Report) -> None:
    """Money that left without a refund that says so is for a person: nothing can be booked from the chain alone."""
    figures.outflow_count += len(sent)
    figures.outflow_micro_usdc += sum(one.amount for one in sent)
    for movement in recovery_matching.unmatched(network, list(sent)):
        if treasury.is_top_up(network, movement):
            _top_up(network, movement, figures=figures, report=report)
            continue
        report.differences.append(_difference("unmatched_outflow", network, movement, outcome="no refund says so"))


def _top_up(network: Network, movement: Movement, *, figures: NetworkFigures, report: Report) -> None:
    """Money that people moved to the refund float is known by where it went."""
    asset = network.asset_at("0x" + movement.log.address.hex())
    if asset is not None and report.applied:
        treasury.book_top_up(network, asset, movement)
    outcome = "top_up" if report.applied else "missing_top_up"
    figures.booked[outcome] = figures.booked.get(outcome, 0) + 1


def _compare_balances(
    network: Network, asset: Asset, rpc: RpcClient, *, figures: NetworkFigures, report: Report
) -> None:
    """The treasury's balance on the chain is the ledger's, but for what is still on its way into the books."""
    for address in sorted(own_addresses(network.caip2)):
        seen = _balances(network, asset, rpc, address=address, first_block=figures.from_block)
        figures.chain_micro_usdc += seen.on_chain
        figures.ledger_micro_usdc += seen.in_ledger
        figures.pending_micro_usdc += seen.pending
        if seen.difference:
            report.differences.append(
                {
                    "kind": "balance",
                    "network": network.caip2,
                    "asset": asset.asset_id,
                    "pay_to": address,
                    "chain_micro_usdc": str(seen.on_chain),
                    "ledger_micro_usdc": str(seen.in_ledger),
                    "pending_micro_usdc": str(seen.pending),
                    "difference_micro_usdc": str(seen.difference),
                }
            )


@dataclass(frozen=True, slots=True)
class _Balances:
    """One address: what the chain shows, what the books say, and what the chain shows and the books will say."""

    on_chain: int
    in_ledger: int
    pending: int

    @property
    def difference(self) -> int:
        return self.on_chain - self.in_ledger - self.pending


def _balances(network: Network, asset: Asset, rpc: RpcClient, *, address: str, first_block: int) -> _Balances:
    """All three at one moment. Payments go on meanwhile, so a difference counts only when it stays."""
    name = accounts.treasury(network=network.caip2, asset_address=asset.address, pay_to=address)
    call = {"to": asset.address, "data": "0x" + tokens.balance_of(abi.address_of(address)).hex()}
    for _ in range(LOOKS_MAX):
        before = -balances.balance_of(name, asset.asset_id)
        block = max(0, number_of(rpc.call("eth_blockNumber")) - network.confirmations + 1)
        on_chain = int.from_bytes(bytes_of(rpc.call("eth_call", [call, hex(block)])), "big")
        received, sent = receipts.movements(
            rpc, asset=asset.address, treasury=address, from_block=first_block, to_block=block
        )
        pending = sum(one.amount for one in recovery_matching.unmatched(network, received))
        pending -= sum(one.amount for one in recovery_matching.unmatched(network, sent))
        seen = _Balances(on_chain, before, pending)
        if not seen.difference:
            break
        threading.Event().wait(LOOK_PAUSE_SECONDS)
    return seen


def _difference(kind: str, network: Network, movement: Movement, *, outcome: str) -> dict[str, object]:
    return {"kind": kind, "network": network.caip2, "outcome": outcome, **recovery_matching.fact_of(movement)}


def _keep(report: Report) -> None:
    Reconciliation.objects.create(
        applied=report.applied,
        figures={network: figures.to_json() for network, figures in report.figures.items()},
        differences=report.differences,
        difference_count=len(report.differences),
        to_blocks={network: figures.to_block for network, figures in report.figures.items()},
        seconds=report.seconds,
    )
    log_metric(
        log,
        names.RECONCILIATION_ENDED,
        level="error" if report.differences else "info",
        differences=len(report.differences),
        applied=report.applied,
        seconds=report.seconds,
    )


def reconcile_quietly() -> Report | None:
    """For the clock: a chain that cannot be read now is compared the next time."""
    try:
        return reconcile(applies=True)
    except RpcFailure as failure:
        log.warning(names.RPC_FAILED, reason=type(failure).__name__)
        return None
