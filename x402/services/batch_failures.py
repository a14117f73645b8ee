"""Members of a batch that failed beside a hostile one go again at once; whoever spoilt it goes alone (R26).

Multicall3 gives each call all the gas there is, and a payer that got code after it was verified can burn it, so that
every later member fails, or the whole transaction does. A member is innocent when the chain still shows its nonce
unused, the money there and no code at its payer: its claim is left alive, so that it is due again. Those with code are
marked; where nobody has any, the first that failed is, and travels in a transaction of its own from then on.
"""

from collections.abc import Sequence

from django.db.models import Count

from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.logging import get_logger
from x402.chain.network_settings import networks
from x402.chain.verification_state import AuthorizationState, question_of, require_payable, verify_chain_state
from x402.facilitators.base import Failure
from x402.models import ChainTransaction, Payment, SettlementAttempt
from x402.models.signed_transfer import signed_transfer
from x402.protocol.errors import PaymentRefused
from x402.selectors.payments import payments_by_id
from x402.services.facilitator_choice import rpc_of

RESENT_MAX = 3  # transactions that may fail around an innocent payment before its payer has to ask again

log = get_logger(__name__)


def to_send_again(failures: Sequence[Failure]) -> frozenset[str]:
    """Those of these payments that failed through no fault of their own. Marks the others' payers as to go alone.

    Asks the chain once for each transaction that carried several. An unreachable chain says nothing: then none is.
    """
    shared = ChainTransaction.objects.filter(
        transaction_hash__in={failure.transaction_hash for failure in failures if failure.transaction_hash},
        payment_count__gt=1,
    )
    innocent: set[str] = set()
    for transaction in shared:
        failed = [one.payment_id for one in failures if one.transaction_hash == transaction.transaction_hash]
        try:
            innocent |= _innocent_of(transaction, failed)
        except RpcFailure as failure:
            log.warning(names.RPC_FAILED, network=transaction.network, reason=type(failure).__name__)
    return frozenset(innocent)


def _innocent_of(transaction: ChainTransaction, failed: Sequence[str]) -> set[str]:
    attempts = SettlementAttempt.objects.filter(transaction=transaction, payment__in=failed).order_by("position")
    in_order = list(attempts.values_list("payment_id", flat=True))
    rows = payments_by_id(in_order)
    states = _states_of([rows[payment_id] for payment_id in in_order], network=transaction.network)
    hostile = [payment_id for payment_id in in_order if states[payment_id].payer_has_code]
    payable = [payment_id for payment_id in in_order if _is_payable(states[payment_id], rows[payment_id])]
    Payment.objects.filter(pk__in=hostile or payable[:1]).update(payer_has_code=True)
    tries = SettlementAttempt.objects.filter(payment__in=payable).values("payment").annotate(count=Count("pk"))
    return {str(one["payment"]) for one in tries if one["count"] < RESENT_MAX}


def _states_of(rows: Sequence[Payment], *, network: str) -> dict[str, AuthorizationState]:
    questions = [question_of(signed_transfer(row), asset=row.asset) for row in rows]
    seen = verify_chain_state(rpc_of(network), questions, multicall3=networks()[network].multicall3)
    return {row.pk: state for row, state in zip(rows, seen.authorizations, strict=True)}


def _is_payable(state: AuthorizationState, row: Payment) -> bool:
    try:
        require_payable(state, value=row.due_micro_usdc)
    except PaymentRefused:
        return False
    return True
