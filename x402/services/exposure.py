"""How much may be answered before it is paid: a limit for each wallet and one for all (rule R27).

Both are counters on rows of their own, moved under their locks: the wallet's row first, then the one of all. A payment
takes room when it is stored, keeps only its actual cost once its work is done, and gives that back when the money is
final or will never come. A wallet that has never settled a payment has no room at all, so that new wallets, however
many, cost nothing. Who finds no room is not refused: the payment settles before its answer instead.
"""

from django.db import transaction
from django.db.models import QuerySet

from outbound.json_rpc import RpcFailure, number_of
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.chain.network_settings import networks
from x402.models import Exposure, Payment, PaymentState
from x402.models.payment import ON_CHAIN, SettleOrder, WorkState
from x402.services import payment_rows
from x402.services.facilitator_choice import rpc_of

EVERYBODY = ""
RELEASE_LIMIT = 200

log = get_logger(__name__)


def insert_within_limits(payment: Payment) -> bool:
    """Store a payment that wants to be answered before it settles; whether this call made its row.

    Without room its order becomes the safest its scheme allows. Locks: the wallet's row, then everybody's.
    """
    with transaction.atomic(durable=True):
        rows = _locked(payment)
        if _has_settled_before(payment) and _has_room(rows, payment.amount_micro_usdc):
            payment.exposure_micro_usdc = payment.amount_micro_usdc
        else:
            payment.settle_order = SettleOrder.AFTER if payment.scheme == "upto" else SettleOrder.BEFORE
        if not payment_rows.insert(payment):
            return False
        _move(rows, payment.exposure_micro_usdc)
    return True


def lower(payment_id: str, *, to_micro_usdc: int) -> None:
    """Keep only this much room for a payment; never more than it has. Locks as above, then the payment's row."""
    payment = Payment.objects.get(pk=payment_id)
    if payment.exposure_micro_usdc <= to_micro_usdc:
        return
    with transaction.atomic():
        rows = _locked(payment)
        held = Payment.objects.select_for_update().get(pk=payment_id).exposure_micro_usdc
        if held > to_micro_usdc:
            Payment.objects.filter(pk=payment_id).update(exposure_micro_usdc=to_micro_usdc)
            _move(rows, to_micro_usdc - held)


def release_ended() -> int:
    """Give back the room of payments whose money is final or will never come; how many.

    A settled one counts until its block is final, since a reorganisation could still take the money away.
    """
    released = 0
    for network in Payment.objects.filter(exposure_micro_usdc__gt=0).values_list("network", flat=True).distinct():
        exposed = Payment.objects.filter(network=network, exposure_micro_usdc__gt=0)
        ended = exposed.filter(state__in=[PaymentState.DEAD, PaymentState.CREDITED, PaymentState.REFUNDED])
        unsettled = exposed.filter(work=WorkState.FAILED) | exposed.filter(
            state=PaymentState.SERVED, actual_micro_usdc=0
        )
        final = exposed.filter(state=PaymentState.SERVED, block_number__lte=_final_block(network))
        for payment_id in _ids(ended) + _ids(unsettled) + _ids(final):
            lower(payment_id, to_micro_usdc=0)
            released += 1
    return released


def outstanding(payer: str = EVERYBODY) -> int:
    """What is answered and not final yet, of one payer or of everybody. Units: MicroUSDC."""
    row = Exposure.objects.filter(network="", asset="", payer=payer).first()
    return row.outstanding_micro_usdc if row else 0


def _ids(payments: QuerySet[Payment]) -> list[str]:
    return list(payments.values_list("pk", flat=True)[:RELEASE_LIMIT])


def _final_block(network: str) -> int:
    """The number of the newest final block; -1 while the chain cannot be asked."""
    try:
        block = rpc_of(network).call("eth_getBlockByNumber", [networks()[network].finality_tag, False])
        return number_of(block.get("number")) if isinstance(block, dict) else -1
    except RpcFailure as failure:
        log.warning(names.RPC_FAILED, reason=type(failure).__name__)
        return -1


def _locked(payment: Payment) -> list[Exposure]:
    """The wallet's row and everybody's, locked in this order; they count over all networks and assets."""
    payers = (payment.payer, EVERYBODY)
    Exposure.objects.bulk_create(
        [Exposure(network="", asset="", payer=payer) for payer in payers], ignore_conflicts=True
    )
    return [Exposure.objects.select_for_update().get(network="", asset="", payer=payer) for payer in payers]


def _has_room(rows: list[Exposure], amount: int) -> bool:
    limits = (loa("DEFERRED_LIMIT_PER_WALLET_MICRO_USDC"), loa("DEFERRED_LIMIT_TOTAL_MICRO_USDC"))
    return all(row.outstanding_micro_usdc + amount <= limit for row, limit in zip(rows, limits, strict=True))


def _has_settled_before(payment: Payment) -> bool:
    return Payment.objects.filter(
        payer=payment.payer,
        network=payment.network,
        method__in=ON_CHAIN,
        state__in=[PaymentState.SERVED, PaymentState.SERVING, PaymentState.SETTLED, PaymentState.CREDITED],
        block_number__isnull=False,
    ).exists()


def _move(rows: list[Exposure], by: int) -> None:
    if by == 0:
        return
    for row in rows:
        row.outstanding_micro_usdc += by
        row.save(update_fields=["outstanding_micro_usdc"])
