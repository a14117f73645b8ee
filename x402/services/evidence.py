"""Looking on the chain for what became of an authorization, when our own transaction does not say.

Only evidence moves a payment: a Transfer that belongs to the authorization settles it, whoever carried it; a nonce used
for anything else, or an expiry unused, seen at a finalized block, makes it dead (R5). Anything less leaves it unknown.
"""

from django.utils import timezone

from billing.services import dead_letters
from telemetry import names
from telemetry.logging import get_logger
from x402.chain import receipts
from x402.chain.network_settings import Network, networks
from x402.chain.receipts import Use
from x402.chain.rpc import RpcClient, RpcFailure
from x402.chain.verification_state import authorization_state
from x402.facilitators.base import Evidence
from x402.models import Payment, PaymentState
from x402.protocol.payload import Authorization
from x402.selectors.payments import payment_of
from x402.services import mixed_payments
from x402.services.facilitator_choice import rpc_of
from x402.services.settlement import book_evidence

SEARCH_SECONDS = 3_600  # how far back a use of the nonce is looked for, beyond the row's own age
SEARCH_MARGIN_BLOCKS = 50

log = get_logger(__name__)


def authorization_of(payment: Payment) -> Authorization:
    """The signed authorization this row was made from."""
    return Authorization(
        from_=bytes.fromhex(payment.payer[2:]),
        to=bytes.fromhex(payment.pay_to[2:]),
        value=payment.amount_micro_usdc,
        valid_after=payment.valid_after,
        valid_before=payment.valid_before,
        nonce=bytes.fromhex(payment.nonce[2:]),
        signature=bytes(payment.signature),
    )


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
    authorization = authorization_of(payment)
    latest = authorization_state(rpc, authorization, asset=payment.asset, multicall3=network.multicall3)
    if latest.authorizations[0].is_used:
        blocks_back = int((_age_seconds(payment) + SEARCH_SECONDS) / network.block_seconds) + SEARCH_MARGIN_BLOCKS
        use = receipts.find_use(
            rpc,
            asset=payment.asset,
            authorization=authorization,
            from_block=max(0, latest.block.number - blocks_back),
            to_block=latest.block.number,
        )
        if use is not None and use.use is Use.PAID:
            if latest.block.number - use.log.block_number + 1 >= network.confirmations:
                book_evidence([_evidence(payment, use.log)])
            return
    _bury_if_dead(payment, network, rpc, authorization)


def _bury_if_dead(payment: Payment, network: Network, rpc: RpcClient, authorization: Authorization) -> None:
    """Dead only at a finalized block: used for something else, or ended unused (R5)."""
    final = authorization_state(
        rpc, authorization, asset=payment.asset, multicall3=network.multicall3, block=network.finality_tag
    )
    if final.authorizations[0].is_used:
        use = receipts.find_use(
            rpc, asset=payment.asset, authorization=authorization, from_block=0, to_block=final.block.number
        )
        if use is not None and use.use is not Use.PAID:
            bury(payment, reason="authorization_canceled" if use.use is Use.CANCELED else "nonce_already_used")
    elif final.block.timestamp >= payment.valid_before:
        bury(payment, reason="authorization_expired")


def bury(payment: Payment, *, reason: str) -> bool:
    """Mark a payment dead; whether this call did."""
    moved = Payment.objects.filter(
        pk=payment.pk, state__in=[PaymentState.VERIFIED, PaymentState.SETTLEMENT_UNKNOWN]
    ).update(state=PaymentState.DEAD, failure_code=reason)
    if moved:
        dead_letters.resolve_subject(queue="settlement", subject_id=payment.pk, resolution=reason)
        mixed_payments.end_credit(payment_of(payment.pk))
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
