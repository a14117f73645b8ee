"""Settling for other sites: accept once, wait without a database connection, answer from the row for ever.

A duplicate of a call gets the stored result, as long as the same caller asks for the same terms; anyone else is told
that the authorization is used, so that a payload read off the chain can never pay a second time (attack 17).
"""

import time
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from outbound.json_rpc import RpcFailure
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from x402.chain.network_settings import Network, networks
from x402.chain.receipts import Use
from x402.chain.verification_state import AuthorizationState, authorization_state
from x402.facilitators.base import Evidence
from x402.models import FacilitatedPayment, FacilitatedState
from x402.models.signed_transfer import signed_transfer
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Permit2Authorization
from x402.protocol.response import SettleResponse, VerifyResponse
from x402.services import facilitated_booking, facilitated_requests, nonce_uses, settler, ways_to_pay
from x402.services.facilitated_requests import FacilitatedRequest
from x402.services.facilitator_choice import rpc_of
from x402.services.nonce_uses import Sought
from x402.services.rates import RateLimited
from x402.services.waiting import TooManyWaiters, watch

WAIT_SECONDS_MAX: Final = 50  # official clients give up after 90
WAIT_STEP_SECONDS: Final = 0.25  # another process may lead: the row is read again this often
ATTEMPTS_MAX: Final = 5  # transactions that may carry one payment; each that reverts costs us gas
SEARCH_SECONDS: Final = 3_600
DAY_SECONDS: Final = 24 * 3600
USED: Final = "invalid_exact_evm_nonce_already_used"
PENDING: Final = "settlement_pending"


def verify(request: FacilitatedRequest) -> VerifyResponse:
    """Whether this payment would settle now. Writes nothing. Raises PaymentRefused, RpcFailure."""
    facilitated_requests.require_local(request)
    facilitated_requests.require_chain(request)
    return VerifyResponse(is_valid=True, payer=request.payer)


def settle(request: FacilitatedRequest, *, caller: str) -> SettleResponse:
    """Carry this payment to the chain, or answer from the row of an earlier call.

    Locks nothing; of concurrent calls for one authorization one inserts.
    Raises PaymentRefused, RateLimited, RpcFailure.
    """
    known = _known(request)
    if known is None:
        if request.due_micro_usdc == 0:
            facilitated_requests.require_local(request)
            return SettleResponse(success=True, network=request.network_name, payer=request.payer, amount=0)
        verify(request)
        _require_quota(caller)
        known = _accept(request, caller=caller)
    if known.caller != caller or not _is_same(known, request):
        raise PaymentRefused(USED, "this authorization was settled for another call")
    return _answer(_followed(known), request)


def _known(request: FacilitatedRequest) -> FacilitatedPayment | None:
    return FacilitatedPayment.objects.filter(
        network=request.network.caip2,
        verifying_contract=ways_to_pay.verifying_contract_of(request.way, request.asset),
        payer=request.payer,
        nonce="0x" + request.transfer.nonce_bytes.hex(),
    ).first()


def _is_same(row: FacilitatedPayment, request: FacilitatedRequest) -> bool:
    """Whether these are the terms and the very signature of the first call."""
    return (row.pay_to, row.due_micro_usdc, row.asset, bytes(row.signature)) == (
        request.requirements.pay_to.lower(),
        request.due_micro_usdc,
        request.asset.address.lower(),
        request.transfer.signature,
    )


def _require_quota(caller: str) -> None:
    """Count what this caller had settled within a day. Raises RateLimited."""
    since = timezone.now() - timedelta(seconds=DAY_SECONDS)
    if FacilitatedPayment.objects.filter(caller=caller, created_at__gt=since).count() >= loa("FACILITATOR_DAILY_QUOTA"):
        raise RateLimited(3_600)


def _accept(request: FacilitatedRequest, *, caller: str) -> FacilitatedPayment:
    transfer = request.transfer
    is_upto = isinstance(transfer, Permit2Authorization) and transfer.facilitator is not None
    row = FacilitatedPayment(
        id=new_id(facilitated_booking.ID_PREFIX),
        caller=caller,
        lease_until=_claim_until(),
        protocol_version=request.payload.version,
        scheme=request.way.scheme,
        method=request.way.method,
        network=request.network.caip2,
        verifying_contract=ways_to_pay.verifying_contract_of(request.way, request.asset),
        payer=request.payer,
        nonce="0x" + transfer.nonce_bytes.hex(),
        asset=request.asset.address.lower(),
        pay_to=request.requirements.pay_to.lower(),
        amount_micro_usdc=transfer.value,
        due_micro_usdc=request.due_micro_usdc,
        valid_after=transfer.valid_after,
        valid_before=transfer.valid_before,
        signature=transfer.signature,
        facilitator=facilitated_requests.sender_of(request).lower() if is_upto else "",
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        known = _known(request)
        if known is None:
            raise
        return known
    return row


def _claim_until() -> datetime:
    return timezone.now() + timedelta(seconds=min(loa("WAIT_SECONDS"), WAIT_SECONDS_MAX) + 5)


def _followed(row: FacilitatedPayment) -> FacilitatedPayment:
    """The row when it is settled, dead, or the time for waiting is up. Holds no database connection meanwhile."""
    if row.state in (FacilitatedState.SETTLED, FacilitatedState.DEAD):
        return row
    if row.state == FacilitatedState.SETTLEMENT_UNKNOWN and not _renewed(row):
        return row
    deadline = time.monotonic() + min(loa("WAIT_SECONDS"), WAIT_SECONDS_MAX)
    try:
        ticket = watch.join(row.pk, known_state=row.state)
    except TooManyWaiters:
        return row
    with ticket:
        settler.wake(row.network)
        while (remaining := deadline - time.monotonic()) > 0:
            row.refresh_from_db()
            if row.state not in (FacilitatedState.ACCEPTED, FacilitatedState.SETTLING):
                break
            ticket.wait(min(remaining, WAIT_STEP_SECONDS))
    if row.state == FacilitatedState.SETTLEMENT_UNKNOWN:
        resolve(row)
    return row


def _renewed(row: FacilitatedPayment) -> bool:
    """Look on the chain, and let a payment be carried again whose authorization is still good."""
    state = resolve(row)
    if row.state != FacilitatedState.SETTLEMENT_UNKNOWN:
        return False
    if state is None or state.is_used or state.spendable < row.due_micro_usdc or row.attempts >= ATTEMPTS_MAX:
        return False
    FacilitatedPayment.objects.filter(pk=row.pk, state=FacilitatedState.SETTLEMENT_UNKNOWN).update(
        lease_until=_claim_until()
    )
    return True


def resolve(row: FacilitatedPayment) -> AuthorizationState | None:
    """Move an unknown payment by what the chain shows, whoever carried it; what was seen, None when nothing was.

    Dead only at a finalized block: used for something else, or ended unused (R5).
    """
    network, rpc = networks()[row.network], rpc_of(row.network)
    try:
        seen = authorization_state(rpc, signed_transfer(row), asset=row.asset, multicall3=network.multicall3)
        if seen.authorizations[0].is_used:
            _read_use(row, network, newest=seen.block.number)
        else:
            _bury_if_ended(row, network)
    except RpcFailure:
        return None
    row.refresh_from_db()
    return seen.authorizations[0]


def _sought(row: FacilitatedPayment) -> Sought:
    return Sought(row.network, row.asset, signed_transfer(row), row.due_micro_usdc, row.pk)


def _read_use(row: FacilitatedPayment, network: Network, *, newest: int) -> None:
    age = (timezone.now() - row.created_at).total_seconds() + SEARCH_SECONDS
    first = max(0, newest - int(age / network.block_seconds))
    use = nonce_uses.find_use(rpc_of(row.network), _sought(row), from_block=first, to_block=newest)
    if use is not None and use.use is Use.PAID:
        if newest - use.log.block_number + 1 >= network.confirmations:
            found = use.log
            facilitated_booking.book(
                [Evidence(row.pk, found.transaction_hash, found.block_hash, found.block_number, found.log_index)]
            )
        return
    final = authorization_state(
        rpc_of(row.network),
        signed_transfer(row),
        asset=row.asset,
        multicall3=network.multicall3,
        block=network.finality_tag,
    )
    if final.authorizations[0].is_used:
        _bury(row, reason=USED)


def _bury_if_ended(row: FacilitatedPayment, network: Network) -> None:
    final = authorization_state(
        rpc_of(row.network),
        signed_transfer(row),
        asset=row.asset,
        multicall3=network.multicall3,
        block=network.finality_tag,
    )
    if not final.authorizations[0].is_used and final.block.timestamp >= row.valid_before:
        _bury(row, reason="invalid_exact_evm_payload_authorization_valid_before")


def _bury(row: FacilitatedPayment, *, reason: str) -> None:
    FacilitatedPayment.objects.filter(
        pk=row.pk, state__in=[FacilitatedState.ACCEPTED, FacilitatedState.SETTLEMENT_UNKNOWN]
    ).update(state=FacilitatedState.DEAD, failure_code=reason, updated_at=timezone.now())


def _answer(row: FacilitatedPayment, request: FacilitatedRequest) -> SettleResponse:
    """What the row says, in the words of the specification; anything not yet decided is pending."""
    reason = row.failure_code
    if row.state not in (FacilitatedState.SETTLED, FacilitatedState.DEAD):
        reason = _reason_now(row) if row.failure_code else PENDING
    is_settled = row.state == FacilitatedState.SETTLED
    return SettleResponse(
        success=is_settled,
        network=request.network.caip2,
        transaction=row.transaction_hash,
        payer=row.payer,
        amount=row.due_micro_usdc if is_settled else None,
        error_reason=reason,
    )


def _reason_now(row: FacilitatedPayment) -> str:
    """Why the last transaction did not carry it, as far as the chain says."""
    seen = resolve(row)
    if seen is None:
        return PENDING
    if seen.spendable < row.due_micro_usdc:
        return "insufficient_funds"
    return USED if seen.is_used else "transaction_failed"


SWEEP_LIMIT: Final = 100


def sweep() -> int:
    """End the leases nobody holds and look for what became of them; how many were resolved (R35)."""
    FacilitatedPayment.objects.filter(
        state__in=[FacilitatedState.ACCEPTED, FacilitatedState.SETTLING], lease_until__lt=timezone.now()
    ).update(state=FacilitatedState.SETTLEMENT_UNKNOWN, lease_until=None)
    unknown = FacilitatedPayment.objects.filter(state=FacilitatedState.SETTLEMENT_UNKNOWN).order_by("updated_at")
    resolved = 0
    for row in unknown[:SWEEP_LIMIT]:
        resolve(row)
        resolved += row.state != FacilitatedState.SETTLEMENT_UNKNOWN
        FacilitatedPayment.objects.filter(pk=row.pk).update(updated_at=timezone.now())
    return resolved
