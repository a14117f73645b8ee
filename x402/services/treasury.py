"""The treasury beside the payments: the float that refunds are paid from, what it needs, and how it is filled.

Where payments arrive may be a cold address: nobody signs there in daily work. People move money from it to the float;
the chain shows the transfer, and one log is one top-up. Units: MicroUSDC.
"""

from dataclasses import dataclass
from typing import Final

from django.utils import timezone

from billing.domain import accounts
from billing.selectors.balances import balance_of
from billing.services import treasury_moves
from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger, log_metric
from telemetry.metrics import gauge
from x402.chain import abi, receipts, tokens
from x402.chain.network_settings import Asset, Network, networks
from x402.chain.receipts import Movement
from x402.models import ConsumedLog, Refund, RefundDay, RefundState
from x402.services import refund_carrying, refund_float, refund_gate
from x402.services.facilitated_booking import own_addresses
from x402.services.facilitator_choice import rpc_of

BENEFICIARY: Final = "refund_float"

log = get_logger(__name__)
_balance = gauge(
    names.REFUND_FLOAT_BALANCE, "What refunds can be paid from.", labels=("network",), across_processes="mostrecent"
)
_needed = gauge(
    names.REFUND_FLOAT_NEEDED, "What refunds under way still need.", labels=("network",), across_processes="mostrecent"
)


class NotATopUp(ValueError):
    """Raised when a transaction moved nothing from the treasury to the float."""


@dataclass(frozen=True, slots=True)
class FloatState:
    """The float on one network, in its first asset. `stopped` says why no refund is paid now, if none is."""

    network: str
    asset: str
    address: str
    on_chain_micro_usdc: int
    in_ledger_micro_usdc: int
    needed_micro_usdc: int
    refunded_today_micro_usdc: int
    daily_limit_micro_usdc: int
    top_up_micro_usdc: int
    stopped: str


def float_state(network: Network) -> FloatState:
    """The float as it is now, and how much should be moved to it. Raises NoRefundKey, RpcFailure."""
    asset, address = network.assets[0], refund_float.address()
    place = {"network": network.caip2, "asset": asset.address.lower()}
    held = refund_float.balance_on_chain(network, asset)
    unsigned = Refund.objects.filter(**place, state__in=[RefundState.REQUESTED, RefundState.STARTED])
    needed = refund_carrying.outstanding_micro_usdc(**place) + sum(unsigned.values_list("amount_micro_usdc", flat=True))
    today = RefundDay.objects.filter(**place, day=timezone.now().date()).values_list("amount_micro_usdc", flat=True)
    account = refund_float.account_of(network.caip2, asset.address, paid_from=address)
    return FloatState(
        **place,
        address=address,
        on_chain_micro_usdc=held,
        in_ledger_micro_usdc=-balance_of(account, asset.asset_id),
        needed_micro_usdc=needed,
        refunded_today_micro_usdc=today.first() or 0,
        daily_limit_micro_usdc=loa("REFUND_DAILY_LIMIT_MICRO_USDC"),
        top_up_micro_usdc=_advice(held, needed),
        stopped=refund_gate.why_stopped(),
    )


def _advice(held: int, needed: int) -> int:
    """How much to move to the float: nothing while it stays above the low mark, else up to twice the mark."""
    low = loa("REFUND_FLOAT_LOW_MICRO_USDC")
    return 0 if held - needed >= low else 2 * low + needed - held


def watch_float() -> dict[str, int]:
    """Read the float on every network for the monitors, and warn when it wants a top-up; the advice by network.

    Chains that cannot be read now are left out.
    """
    advice: dict[str, int] = {}
    if not refund_float.is_offered():
        return advice
    for network in networks().values():
        try:
            state = float_state(network)
        except RpcFailure as failure:
            log.warning(names.RPC_FAILED, network=network.caip2, reason=type(failure).__name__)
            continue
        _balance.labels(network=network.caip2).set(state.on_chain_micro_usdc)
        _needed.labels(network=network.caip2).set(state.needed_micro_usdc)
        advice[network.caip2] = state.top_up_micro_usdc
        if state.top_up_micro_usdc:
            log_metric(
                log,
                names.REFUND_FLOAT_LOW,
                level="warning",
                network=network.caip2,
                held=state.on_chain_micro_usdc,
                needed=state.needed_micro_usdc,
                top_up=state.top_up_micro_usdc,
            )
    return advice


def is_top_up(network: Network, movement: Movement) -> bool:
    """Whether this transfer went from an address of ours to the float."""
    if not refund_float.is_offered() or movement.sender not in own_addresses(network.caip2):
        return False
    return movement.recipient == refund_float.address()


def book_top_up(network: Network, asset: Asset, movement: Movement) -> bool:
    """Book a transfer to the float, once; whether its log is a top-up now. Safe to repeat."""
    found = movement.log
    consumed, _ = ConsumedLog.objects.get_or_create(
        network=network.caip2,
        transaction_hash=found.transaction_hash,
        log_index=found.log_index,
        defaults={"beneficiary": BENEFICIARY},
    )
    if consumed.beneficiary != BENEFICIARY:
        return False
    treasury_moves.book_top_up(
        treasury_moves.TopUp(
            log=f"{network.caip2}:{found.transaction_hash}:{found.block_hash}:{found.log_index}",
            denomination=asset.asset_id,
            treasury=accounts.treasury(network=network.caip2, asset_address=asset.address, pay_to=movement.sender),
            refund_float=refund_float.account_of(network.caip2, asset.address, paid_from=movement.recipient),
            amount_micro_usdc=movement.amount,
        )
    )
    log.info(names.REFUND_FLOAT_TOPPED_UP, network=network.caip2, amount=movement.amount)
    return True


def book_top_up_of(network: Network, transaction_hash: str) -> int:
    """Book the transfers of one transaction to the float; how much. Raises NotATopUp, RpcFailure."""
    receipt = rpc_of(network.caip2).call("eth_getTransactionReceipt", [transaction_hash])
    if not isinstance(receipt, dict):
        raise NotATopUp("The chain does not show this transaction.")
    booked = 0
    for found in receipts.logs_of(receipt):
        asset = network.asset_at("0x" + found.address.hex())
        if asset is None or len(found.topics) != 3 or found.topics[0] != tokens.TRANSFER_TOPIC:
            continue
        movement = movement_of(found)
        if is_top_up(network, movement) and book_top_up(network, asset, movement):
            booked += movement.amount
    if not booked:
        raise NotATopUp("This transaction moved nothing from the treasury to the float that is not booked as another.")
    return booked


def movement_of(found: receipts.Log) -> Movement:
    """A Transfer log as a movement of money."""
    sender, recipient = ("0x" + topic[-40:] for topic in found.topics[1:3])
    return Movement(sender=sender, recipient=recipient, amount=abi.read_word(found.data, 0), log=found)
