"""Bringing signed refunds to the chain: our relayer carries them, as it carries the payments of other sites.

The authorization is stored with the row by which it travels, in the transaction that says the refund is sent; so it is
signed once, and only what was stored is ever broadcast (R25). Nothing is signed that the float cannot pay.
"""

from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from telemetry.logging import get_logger
from x402.models import FacilitatedPayment, FacilitatedState, Refund, RefundState
from x402.models.payment import Method
from x402.services import refund_float, refund_gate, settler
from x402.services.facilitated_booking import ID_PREFIX
from x402.services.refund_float import Signed

CALLER: Final = "refunds"
CARRIED_SECONDS: Final = 60  # how long the relayer may take a refund before the sweep looks again
ATTEMPTS_MAX: Final = 5  # transactions that may carry one refund; each that reverts costs us gas

log = get_logger(__name__)


def send(refund: Refund) -> bool:
    """Sign a refund and hand it to the relayer, once; whether it is on its way now.

    Locks the refund's row. False while the float cannot pay it, or refunds are stopped. Raises RpcFailure.
    """
    if not refund_gate.is_open() or not _is_covered(refund):
        return False
    signed = refund_float.sign(refund)
    with transaction.atomic(durable=True):
        row = Refund.objects.select_for_update().get(pk=refund.pk)
        if row.state == RefundState.STARTED:
            carried = _carried(row, signed)
            carried.save(force_insert=True)
            Refund.objects.filter(pk=row.pk, state=RefundState.STARTED).update(
                state=RefundState.SENT,
                paid_from=signed.paid_from,
                nonce=signed.nonce,
                valid_before=signed.valid_before,
                first_block=signed.first_block,
                signature=signed.signature,
                carried_by=carried.pk,
            )
    refund.refresh_from_db()
    settler.wake(refund.network)
    log.info(names.REFUND_SENT, refund_id=refund.pk, nonce=refund.nonce)
    return refund.state == RefundState.SENT


def keep_carrying(refund: Refund) -> None:
    """Let the relayer take it again when it was not carried yet, while the float can pay and the gas is worth it."""
    network, asset = refund_float.place_of(refund)
    try:
        held = refund_float.balance_on_chain(network, asset, holder=refund.paid_from)
    except RpcFailure:
        return
    if held < refund.amount_micro_usdc:
        return
    renewed = FacilitatedPayment.objects.filter(
        Q(state=FacilitatedState.ACCEPTED) | Q(state=FacilitatedState.SETTLEMENT_UNKNOWN),
        pk=refund.carried_by,
        attempts__lt=ATTEMPTS_MAX,
    ).update(lease_until=timezone.now() + timedelta(seconds=CARRIED_SECONDS))
    if renewed:
        settler.wake(refund.network)


def outstanding_micro_usdc(network: str, asset: str) -> int:
    """What is signed and not yet seen to be paid or dead. Units: MicroUSDC."""
    under_way = Refund.objects.filter(network=network, asset=asset, state=RefundState.SENT)
    settled = FacilitatedPayment.objects.filter(state=FacilitatedState.SETTLED).values("pk")
    open_ones = under_way.exclude(carried_by__in=settled)
    return int(open_ones.aggregate(total=Sum(F("amount_micro_usdc")))["total"] or 0)


def _is_covered(refund: Refund) -> bool:
    """Whether the float holds what is signed already and this refund as well."""
    network, asset = refund_float.place_of(refund)
    held = refund_float.balance_on_chain(network, asset)
    needed = outstanding_micro_usdc(refund.network, refund.asset) + refund.amount_micro_usdc
    if held < needed:
        log.warning(names.REFUND_FLOAT_LOW, network=refund.network, held=held, needed=needed)
    return held >= needed


def _carried(refund: Refund, signed: Signed) -> FacilitatedPayment:
    return FacilitatedPayment(
        id=new_id(ID_PREFIX),
        caller=CALLER,
        lease_until=timezone.now() + timedelta(seconds=max(CARRIED_SECONDS, loa("WAIT_SECONDS"))),
        protocol_version=2,
        scheme="exact",
        method=Method.EIP3009,
        network=refund.network,
        verifying_contract=refund.asset,
        payer=signed.paid_from,
        nonce=signed.nonce,
        asset=refund.asset,
        pay_to=refund.wallet,
        amount_micro_usdc=refund.amount_micro_usdc,
        due_micro_usdc=refund.amount_micro_usdc,
        valid_after=0,
        valid_before=signed.valid_before,
        signature=signed.signature,
    )
