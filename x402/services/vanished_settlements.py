"""Settlements whose block the chain took back: waited for, found again, or reversed when their authorization is dead.

The usual case is that the same transaction is mined again: then the payment's place on the chain is corrected and
nothing else, since the money is booked once and there once. Our own stored bytes are sent again to help it. Only when
the authorization is dead (R5) is the settlement reversed: what is left of its notes is set against the debt first, and
the wallet owes the rest (R24).
"""

from collections.abc import Sequence
from typing import Final

from billing.selectors import credit_notes
from billing.services import settlements
from outbound.json_rpc import RpcClient, RpcRefused, number_of
from telemetry import names
from telemetry.logging import get_logger, log_metric
from x402.chain.network_settings import Asset, Network
from x402.chain.receipts import Log, Movement, Use
from x402.chain.verification_state import authorization_state
from x402.models import ChainTransaction, ConsumedLog, Payment, PaymentState
from x402.models.payment import ON_CHAIN
from x402.models.settlement import TransactionState
from x402.models.signed_transfer import signed_transfer
from x402.services import nonce_uses
from x402.services.facilitated_booking import own_addresses
from x402.services.facilitator_choice import rpc_of
from x402.services.nonce_uses import Sought
from x402.services.serving import credit_failed_work

REVERSED: Final = "settlement_reversed"
CREDITED_CODE: Final = "settlement_reversed"
PAID_STATES: Final = (PaymentState.SETTLED, PaymentState.SERVED, PaymentState.CREDITED, PaymentState.REFUNDED)
SEARCH_SECONDS: Final = 7_200
PREDECESSORS_MAX: Final = 100

log = get_logger(__name__)


def examine(
    network: Network, asset: Asset, *, seen: Sequence[Movement], first_block: int, applies: bool
) -> list[dict[str, object]]:
    """What became of settlements since `first_block` that are not among the transfers the chain shows.

    One difference for each that is neither found again nor reversed by this call. Raises RpcFailure.
    """
    places = {(one.log.transaction_hash, one.log.block_hash, one.log.log_index) for one in seen}
    rows = Payment.objects.filter(
        network=network.caip2,
        asset=asset.address.lower(),
        method__in=ON_CHAIN,
        state__in=PAID_STATES,
        pay_to__in=own_addresses(network.caip2),
        block_number__gte=first_block,
    ).exclude(failure_code=REVERSED)
    found: list[dict[str, object]] = []
    for payment in rows.iterator():
        if (payment.transaction_hash, payment.block_hash, payment.log_index) not in places:
            fate = _fate(payment, network, applies=applies)
            if fate not in ("found", REVERSED):
                found.append(
                    {
                        "kind": "vanished_settlement",
                        "network": network.caip2,
                        "payment_id": payment.pk,
                        "transaction_hash": payment.transaction_hash,
                        "block_number": payment.block_number,
                        "amount": str(payment.due_micro_usdc),
                        "outcome": fate,
                    }
                )
    return found


def _fate(payment: Payment, network: Network, *, applies: bool) -> str:
    rpc, transfer = rpc_of(network.caip2), signed_transfer(payment)
    seen = authorization_state(rpc, transfer, asset=payment.asset, multicall3=network.multicall3)
    sought = Sought(payment.network, payment.asset, transfer, payment.due_micro_usdc, payment.pk)
    first = max(0, seen.block.number - int(SEARCH_SECONDS / network.block_seconds))
    if seen.authorizations[0].is_used:
        use = nonce_uses.find_use(rpc, sought, from_block=first, to_block=seen.block.number)
        if use is not None and use.use is Use.PAID:
            return _put_right(payment, use.log) if applies else "mined_again"
    final = authorization_state(
        rpc, transfer, asset=payment.asset, multicall3=network.multicall3, block=network.finality_tag
    )
    is_dead = final.block.timestamp >= payment.valid_before
    if final.authorizations[0].is_used:
        is_dead = nonce_uses.why_it_cannot_pay(rpc, sought, from_block=first, to_block=final.block.number) is not None
    if is_dead:
        return _reverse(payment) if applies else "dead"
    if applies:
        _send_again(payment, network)
    return "waiting"


def _put_right(payment: Payment, place: Log) -> str:
    """The same money in another block: its log is this payment's as well, and its row says where it is now."""
    consumed, _ = ConsumedLog.objects.get_or_create(
        network=payment.network,
        transaction_hash=place.transaction_hash,
        log_index=place.log_index,
        defaults={"beneficiary": payment.pk},
    )
    if consumed.beneficiary != payment.pk:
        return "its log paid for something else"
    Payment.objects.filter(pk=payment.pk).update(
        transaction_hash=place.transaction_hash,
        block_hash=place.block_hash,
        block_number=place.block_number,
        log_index=place.log_index,
    )
    log.info(names.SETTLEMENT_RESOLVED, payment_id=payment.pk, transaction_hash=place.transaction_hash)
    return "found"


def _send_again(payment: Payment, network: Network) -> None:
    """Offer the stored bytes to the chain once more; whoever mines them pays us.

    No transaction is mined before those of lower nonces, so what vanished before it is offered first.
    """
    stored = ChainTransaction.objects.filter(transaction_hash=payment.transaction_hash).first()
    if stored is None:
        return
    rpc = rpc_of(network.caip2)
    for one in (*_vanished_before(stored, rpc), stored):
        try:
            rpc.call("eth_sendRawTransaction", ["0x" + bytes(one.raw).hex()])
        except RpcRefused as refused:
            log.info(names.RELAYER_BROADCAST_REFUSED, transaction_hash=one.transaction_hash, reason=refused.message)


def _vanished_before(stored: ChainTransaction, rpc: RpcClient) -> Sequence[ChainTransaction]:
    """Those of its relayer that were mined, and that the chain counts no more. Raises RpcFailure."""
    count = number_of(rpc.call("eth_getTransactionCount", [stored.relayer, "latest"]))
    rows = ChainTransaction.objects.filter(
        network=stored.network,
        relayer=stored.relayer,
        nonce__gte=count,
        nonce__lt=stored.nonce,
        state=TransactionState.MINED,
    )
    return list(rows.order_by("nonce")[:PREDECESSORS_MAX])


def _reverse(payment: Payment) -> str:
    """Book that this money is gone for good. Safe to repeat: the journals are keyed by the vanished log."""
    if payment.state == PaymentState.SETTLED:  # nothing was delivered: its hold becomes a note, which is taken back
        credit_failed_work(payment, attempt=payment.attempt, code=CREDITED_CODE, status=402)
    left = sum(note.remaining for note in credit_notes.notes_from(payment.pk))
    results = settlements.reverse_settlement(
        settlements.SettledPayment(
            payment_id=payment.pk,
            entry_id=payment.entry_id,
            account_id=payment.account_id,
            wallet=payment.payer,
            network=payment.network,
            asset_address=payment.asset,
            pay_to=payment.pay_to,
            amount_micro_usdc=payment.due_micro_usdc,
            tx_hash=payment.transaction_hash,
            block_hash=payment.block_hash,
            block_number=payment.block_number or 0,
            log_index=payment.log_index or 0,
            correlation_id=payment.correlation_id,
            transition=None,
        ),
        clawed_back_micro_usdc=left,
    )
    if not all(result.is_written for result in results):
        return f"refused: {', '.join(str(result.status) for result in results)}"
    Payment.objects.filter(pk=payment.pk).update(failure_code=REVERSED)
    log_metric(
        log,
        names.SETTLEMENT_REVERSED,
        level="error",
        payment_id=payment.pk,
        amount_micro_usdc=payment.due_micro_usdc,
        clawed_back_micro_usdc=left,
    )
    return REVERSED
