"""An authorization that somebody carried to the chain before we knew the payment: whose money was that? (rule R11)

A transfer that belongs to the authorization, and that paid for nothing yet, pays for the request when the presented
quote is ours, is for this request, and is older than the block of the transfer. Any other such transfer pays for
nothing here, but it is not kept either: the payer gets it back as a note of kind `owed`. One log, one beneficiary.
"""

from billing.domain.errors import LostLease
from outbound.json_rpc import OutcomeUnknown, RpcFailure, number_of
from x402.chain.receipts import Log, Use
from x402.chain.verification_state import authorization_state
from x402.models import Payment, PaymentState
from x402.protocol.quote_token import QuoteToken
from x402.services import evidence, nonce_uses, verification
from x402.services.endpoints import Endpoint
from x402.services.facilitator_choice import rpc_of
from x402.services.nonce_uses import Sought
from x402.services.paid_requests import PaidRequest
from x402.services.serving import credit_failed_work
from x402.services.verification import Agreed, NonceAlreadyUsed, Presented

CODE = "nonce_already_used"
STATUS = 409


def recognise(
    used: NonceAlreadyUsed, presented: Presented, *, incoming: PaidRequest, endpoint: Endpoint
) -> tuple[Payment, bool]:
    """The payment that the transfer already made is for, and whether this call made its row.

    Raises NonceAlreadyUsed when the nonce was not used to pay us, or the transfer paid for something else; RpcFailure.
    Locks nothing; of concurrent calls for one authorization one inserts.
    """
    log = _transfer(presented)
    if log is None or not nonce_uses.is_free(presented.network.caip2, log):
        raise used
    is_for_this = (
        used.quote is not None
        and used.quote.credit_applied_micro_usdc == 0  # its credit would have had to be held before the transfer (R13)
        and _is_older(presented, quote=used.quote, log=log)
    )
    payment, is_new = verification.insert(
        presented,
        incoming=incoming,
        endpoint=endpoint,
        agreed=Agreed(used.quote if is_for_this else None, used.price_version),
        failure_code="" if is_for_this else CODE,
    )
    if is_new:
        evidence.resolve(payment)
        give_back(payment)
    return payment, is_new


def rescue(presented: Presented, *, incoming: PaidRequest, endpoint: Endpoint) -> Payment | None:
    """The row of a refused payment whose money has reached us all the same, so that it goes back; None when it has not.

    A quote that has ended, or a request that changed, buys nothing; but a stranger may have carried the authorization,
    and what nobody has a row for would be kept by us for nothing. A chain that cannot be asked says nothing now.
    """
    network = presented.network
    if presented.authorization.to not in verification.our_addresses(network):
        return None
    try:
        seen = authorization_state(
            rpc_of(network.caip2),
            presented.authorization,
            asset=presented.asset.address,
            multicall3=network.multicall3,
        )
        if not seen.authorizations[0].is_used:
            return None
        payment, _ = recognise(NonceAlreadyUsed(None, 0), presented, incoming=incoming, endpoint=endpoint)
    except (NonceAlreadyUsed, RpcFailure):
        return None
    return payment


def give_back(payment: Payment) -> None:
    """Return a transfer that pays for nothing here to its payer; does nothing for any other payment, or twice."""
    if payment.failure_code != CODE or payment.is_final:
        return
    if payment.state != PaymentState.SETTLED and evidence.resolve(payment) != PaymentState.SETTLED:
        return
    try:
        credit_failed_work(payment, attempt=payment.attempt, code=CODE, status=STATUS)
    except LostLease:
        payment.refresh_from_db()


def _transfer(presented: Presented) -> Log | None:
    """The transfer this authorization made, when it was mined within the time that is searched."""
    network, rpc = presented.network, rpc_of(presented.network.caip2)
    newest = number_of(rpc.call("eth_blockNumber"))
    blocks_back = int(verification.LONGEST_LIFE_SECONDS / network.block_seconds)
    transfer = presented.authorization
    sought = Sought(network.caip2, presented.asset.address, transfer, transfer.value)
    use = nonce_uses.find_use(rpc, sought, from_block=max(0, newest - blocks_back), to_block=newest)
    return use.log if use is not None and use.use is Use.PAID else None


def _is_older(presented: Presented, *, quote: QuoteToken, log: Log) -> bool:
    """Whether we issued the quote before the block of the transfer, by the times they carry. Units: Unix seconds."""
    block = rpc_of(presented.network.caip2).call("eth_getBlockByNumber", [hex(log.block_number), False])
    if not isinstance(block, dict):
        raise OutcomeUnknown("the node shows a log but not its block")
    return quote.issued_at <= number_of(block.get("timestamp"))
