"""Looking on the chain for what became of an authorization, when our own transaction does not say.

Only evidence moves a payment: a Transfer that belongs to the authorization settles it, whoever carried it; a nonce used
for anything else, or an expiry unused, seen at a finalized block, makes it dead (R5). Anything less leaves it unknown.
"""

from django.utils import timezone

from billing.services import dead_letters, deferred_sales
from outbound.json_rpc import RpcClient, RpcFailure
from telemetry import names
from telemetry.logging import get_logger
from x402.chain import receipts
from x402.chain.network_settings import Network, networks
from x402.chain.receipts import Use
from x402.chain.verification_state import authorization_state
from x402.facilitators.base import Evidence
from x402.models import Payment, PaymentState
from x402.models.signed_transfer import signed_transfer
from x402.selectors.payments import payment_of
from x402.services import mixed_payments, nonce_uses
from x402.services.facilitator_choice import rpc_of
from x402.services.nonce_uses import Sought
from x402.services.settlement import book_evidence

SEARCH_SECONDS = 3_600  # how far back a use of the nonce is looked for, beyond the row's own age
SEARCH_MARGIN_BLOCKS = 50

log = get_logger(__name__)


def resolve(payment: Payment) -> str:
    """The payment's state after looking at the chain; the row and this object are moved when evidence says so.

    Never raises for an unreachable chain: nothing is known then, and the payment stays as it is.
    """
    network = networks()[payment.network]
    rpc = rpc_of(payment.network)
    try:
        _look(payment, network, rpc)
    except RpcFailure as failure:
        log.warning(names.RPC_FAILED, payment_id=payment.pk, reason=type(failure).__name__)
    payment.refresh_from_db()
    return str(payment.state)


def _look(payment: Payment, network: Network, rpc: RpcClient) -> None:
    transfer = signed_transfer(payment)
    latest = authorization_state(rpc, transfer, asset=payment.asset, multicall3=network.multicall3)
    if latest.authorizations[0].is_used:
        use = nonce_uses.find_use(
            rpc,
            _sought(payment),
            from_block=_first_block(payment, network, newest=latest.block.number),
            to_block=latest.block.number,
        )
        if use is not None and use.use is Use.PAID:
            if latest.block.number - use.log.block_number + 1 >= network.confirmations:
                book_evidence([_evidence(payment, use.log)])
            return
    _bury_if_dead(payment, network, rpc)


def _bury_if_dead(payment: Payment, network: Network, rpc: RpcClient) -> None:
    """Dead only at a finalized block: used for something else, or ended unused (R5)."""
    final = authorization_state(
        rpc,
        signed_transfer(payment),
        asset=payment.asset,
        multicall3=network.multicall3,
        block=network.finality_tag,
    )
    if final.authorizations[0].is_used:
        first = _first_block(payment, network, newest=final.block.number)
        reason = nonce_uses.why_it_cannot_pay(rpc, _sought(payment), from_block=first, to_block=final.block.number)
        if reason is not None:
            bury(payment, reason=reason)
    elif final.block.timestamp >= payment.valid_before:
        bury(payment, reason="authorization_expired")


def _sought(payment: Payment) -> Sought:
    return Sought(payment.network, payment.asset, signed_transfer(payment), payment.due_micro_usdc, payment.pk)


def _first_block(payment: Payment, network: Network, *, newest: int) -> int:
    """Where a search for the use of this nonce begins: well before its row, when it was seen unused."""
    blocks_back = int((_age_seconds(payment) + SEARCH_SECONDS) / network.block_seconds) + SEARCH_MARGIN_BLOCKS
    return max(0, newest - blocks_back)


def bury(payment: Payment, *, reason: str) -> bool:
    """Mark a payment dead; whether this call did."""
    moved = Payment.objects.filter(
        pk=payment.pk, state__in=[PaymentState.VERIFIED, PaymentState.SETTLEMENT_UNKNOWN]
    ).update(state=PaymentState.DEAD, failure_code=reason)
    if moved:
        dead_letters.resolve_subject(queue="settlement", subject_id=payment.pk, resolution=reason)
        buried = payment_of(payment.pk)
        mixed_payments.end_credit(buried)
        if buried.is_answered_on_credit:
            deferred_sales.write_off(
                payment_id=buried.pk,
                wallet=buried.payer,
                denomination=mixed_payments.denomination_of(buried),
                amount_micro_usdc=buried.charged_micro_usdc or 0,
            )
        log.info(names.PAYMENT_DIED, payment_id=payment.pk, reason=reason)
    return bool(moved)


def _age_seconds(payment: Payment) -> float:
    return (timezone.now() - payment.created_at).total_seconds()


def _evidence(payment: Payment, found: receipts.Log) -> Evidence:
    return Evidence(
        payment_id=payment.pk,
        transaction_hash=found.transaction_hash,
        block_hash=found.block_hash,
        block_number=found.block_number,
        log_index=found.log_index,
    )
