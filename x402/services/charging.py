"""From a request to its answer: known payment, new payment, credit, or terms (the payment decision of product.md).

The order is fixed by R19: parse, signature, the row by its replay key; only a new payment meets quotes, prices,
windows, balances and limits. Nothing that time or configuration can change stands before the row.
"""

import time

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.services.api_keys import KeyHolder
from billing.domain.errors import RecoveryInProgress, Retryable
from billing.services import recovery
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from telemetry.tracing import annotate, annotate_transaction, traced
from x402.metrics import REPLAYS, VERIFICATION_SECONDS, VERIFICATIONS
from x402.models import Payment, PaymentState
from x402.models.payment import ON_CHAIN, WorkState
from x402.pricing import Quotation
from x402.protocol.errors import PaymentRefused, UnpriceableRequest
from x402.selectors.payments import payment_named, payment_of
from x402.services import (
    credit_payments,
    evidence,
    key_payments,
    mixed_payments,
    offers,
    paid_requests,
    payment_rows,
    preused,
    proofs,
    purchases,
    responses,
    reverts,
    screening,
    settler,
    streaming,
    sweeps,
    switches,
    verification,
    work_first,
)
from x402.services.crash_points import crash_point
from x402.services.endpoints import Endpoint
from x402.services.paid_requests import PaidRequest
from x402.services.rates import require_rate
from x402.services.refusals import REFUSALS, response_of
from x402.services.serving import Run, Work, serve
from x402.services.verification import Presented
from x402.services.waiting import Ticket, TooManyWaiters, watch

log = get_logger(__name__)

PAYMENT_REQUIRED = 402
WAIT_STEP_SECONDS = 5.0  # a waiting request looks at the row at least this often, whatever it hears


def answer(endpoint: Endpoint, request: HttpRequest, run: Run) -> HttpResponseBase:
    """The answer to a request for a paid endpoint; `run` is done when it is paid. Never raises for bad input."""
    try:
        incoming = paid_requests.read(request)
        if endpoint.sells_credit:
            incoming.purchase = purchases.purchase_of(
                incoming.priced,
                account_id=incoming.account_id,
                key_hash=incoming.key_hash,
                is_by_key=incoming.key is not None,
            )
    except REFUSALS as refusal:
        return response_of(refusal)
    work = Work(run=run, priced=incoming.priced, atomic=endpoint.atomic, streams=endpoint.settle == "before")
    try:
        return _decide(endpoint, incoming, work)
    except PaymentRefused as refusal:
        return _refuse(endpoint, incoming, refusal)
    except REFUSALS as refusal:
        return response_of(refusal)


def _decide(endpoint: Endpoint, incoming: PaidRequest, work: Work) -> HttpResponseBase:
    if incoming.key is not None:
        return _by_key(endpoint, incoming, work, holder=incoming.key)
    if incoming.header is None:
        return _without_payment(endpoint, incoming, work)
    presented = verification.decode(incoming)
    known = verification.known_payment(presented)
    _require_trust(known)
    if known is None:
        payer = "0x" + presented.authorization.from_.hex()
        require_rate("wallet", payer)
        reverts.require_few(payer)
        screening.require_served(payer, screening.FOR_PAYING)
        bought = _earlier_purchase(incoming, payer=payer) or _bought_under_this_name(incoming, work, payer=payer)
        if bought is not None:
            return bought
        switches.require_on("billing", "x402", subject=payer)
        quotation = endpoint.price.maximum(incoming.priced)
        known, is_new = _begin(presented, incoming, endpoint, quotation=quotation)
        if is_new:
            mixed_payments.hold_credit(known)
            crash_point("before_settle")
            return _follow(known, work)
    return _answer_known(known, incoming, work)


def _require_alive(payment: Payment) -> None:
    """Ask for another payment where this one can never pay. Raises PaymentRefused, which names fresh terms."""
    if payment.state == PaymentState.DEAD and payment.method in ON_CHAIN and not payment.is_answered_on_credit:
        why = payment.failure_code or "it expired unused"
        raise PaymentRefused("payment_refused", f"The authorization can no longer pay: {why}. Sign one of the offers.")
    if payment.has_failed_unpaid and payment.failure_status == PAYMENT_REQUIRED:
        raise PaymentRefused(payment.failure_code, "The payer could not pay for the work. Nothing was taken.")


def _begin(
    presented: Presented, incoming: PaidRequest, endpoint: Endpoint, *, quotation: Quotation
) -> tuple[Payment, bool]:
    """The row of a payment that had none a moment ago, and whether this call made it.

    Between that look and the chain's answer a copy of this request may have been settled: then the nonce is used and
    the balance lower because of this very payment, and its row, not the chain, is the answer.
    """
    try:
        with VERIFICATION_SECONDS.time():
            begun = verification.verify(presented, incoming=incoming, endpoint=endpoint, quotation=quotation)
        VERIFICATIONS.labels(outcome="verified").inc()
        return begun
    except verification.PurchaseUnderWay as other:
        raise key_payments.KeyInFlight(other.payment) from other
    except (verification.NonceAlreadyUsed, PaymentRefused) as refusal:
        known = verification.known_payment(presented)
        if known is not None:
            return known, False
        if isinstance(refusal, verification.NonceAlreadyUsed):
            return preused.recognise(refusal, presented, incoming=incoming, endpoint=endpoint)
        rescued = preused.rescue(presented, incoming=incoming, endpoint=endpoint)
        if rescued is not None:
            return rescued, False
        VERIFICATIONS.labels(outcome="refused").inc()
        raise


def _by_key(endpoint: Endpoint, incoming: PaidRequest, work: Work, *, holder: KeyHolder) -> HttpResponseBase:
    """The prepaid balance of an API key's account; a key that cannot pay is told so, and nothing else is tried."""
    known = key_payments.known_spend(incoming, holder)
    if known is None:
        recovery.require_none()
        switches.require_on("billing", subject=holder.account_id)
        quotation = endpoint.price.maximum(incoming.priced)
        known, is_new = key_payments.spend(incoming, holder, endpoint=endpoint, quotation=quotation)
        work.rate = quotation.rate
        if is_new:
            return _follow(known, work)
    _require_trust(known)
    if known.request_hash == incoming.request_hash:
        key_payments.require_not_in_flight(known, incoming)
        work.rate = key_payments.rate_of(known, incoming.priced, endpoint=endpoint)
        known = key_payments.hold(known)
    return _answer_known(known, incoming, work)


def _without_payment(endpoint: Endpoint, incoming: PaidRequest, work: Work) -> HttpResponseBase:
    """Credit notes when the caller proved a wallet and named its spend; else terms."""
    if incoming.purchase is not None:
        return _earlier_purchase(incoming) or _terms_of_purchase(endpoint, incoming)
    known = credit_payments.known_spend(incoming)
    if known is not None:
        _require_trust(known)
        return _answer_known(known, incoming, work)
    recovery.require_none()
    require_rate("challenge", incoming.client_address)
    switches.require_on("billing", subject=incoming.wallet or incoming.client_address)
    quotation = endpoint.price.maximum(incoming.priced)
    if incoming.wallet:
        screening.require_served(incoming.wallet, screening.FOR_PAYING)
    spent = credit_payments.spend(incoming, endpoint=endpoint, quotation=quotation)
    if spent is not None:
        return _answer_known(spent, incoming, work)
    switches.require_on("x402", subject=incoming.wallet or incoming.client_address)
    credit = mixed_payments.applicable_credit(incoming, quotation) if endpoint.settle == "before" else 0
    return offers.challenge(endpoint, incoming, quotation, credit_applied_micro_usdc=credit)


def _earlier_purchase(incoming: PaidRequest, *, payer: str = "") -> HttpResponseBase | None:
    """What this buyer's key bought before; the payment that came with this request is not taken then.

    Raises KeyInFlight while the first one is on its way.
    """
    if incoming.purchase is None:
        return None
    earlier = purchases.earlier(incoming.purchase, payer=payer)
    if earlier is None:
        return None
    if earlier.request_hash != incoming.request_hash:
        return responses.key_reused()
    _require_trust(earlier)
    if not earlier.is_final:
        raise key_payments.KeyInFlight(earlier)
    return responses.of_final(earlier)


def _bought_under_this_name(incoming: PaidRequest, work: Work, *, payer: str) -> HttpResponseBase | None:
    """What this payer's own name for its purchase stands for already; the payment that came now is not taken then.

    A client that lost its answer and signs anew under the same name is not charged twice.
    """
    if not incoming.key_hash or incoming.purchase is not None:
        return None
    earlier = payment_named(payer, key_hash=incoming.key_hash)
    if earlier is None:
        return None
    if earlier.request_hash != incoming.request_hash:
        return responses.name_taken()
    _require_trust(earlier)
    return _answer_known(earlier, incoming, work)


def _terms_of_purchase(endpoint: Endpoint, incoming: PaidRequest) -> HttpResponse:
    recovery.require_none()
    require_rate("challenge", incoming.client_address)
    switches.require_on("billing", "credits", "x402", subject=incoming.account_id or incoming.client_address)
    return offers.challenge(endpoint, incoming, endpoint.price.maximum(incoming.priced))


def _require_trust(known: Payment | None) -> None:
    """In recovery only what is booked to its end is answered, from its record (R10). Raises RecoveryInProgress."""
    if known is None or not known.is_final:
        recovery.require_none()


def _refuse(endpoint: Endpoint, incoming: PaidRequest, refusal: PaymentRefused) -> HttpResponseBase:
    try:
        quotation = endpoint.price.maximum(incoming.priced)
    except UnpriceableRequest as error:
        return responses.unpriceable(error)
    return offers.challenge(endpoint, incoming, quotation, refusal=refusal)


def _answer_known(payment: Payment, incoming: PaidRequest, work: Work) -> HttpResponseBase:
    """A payment we have seen: its answer for the payer's side and the same request, its state for anyone else (R1)."""
    if payment.request_hash != incoming.request_hash:
        return responses.used_for_another_request(payment)
    if not proofs.may_have_answer(payment, incoming):
        return responses.already_used(payment)
    if not proofs.proves_itself(payment, incoming) and verification.is_public(payment):
        return responses.already_used(payment)
    _note_replay(payment)
    preused.give_back(payment)
    if payment.state in (PaymentState.VERIFIED, PaymentState.SETTLEMENT_UNKNOWN) and not payment.is_decided:
        _claim_again(payment)
    return _follow(payment, work, is_replay=True)


@traced(names.X402_VERIFY)
def _note_replay(payment: Payment) -> None:
    """A payment that is presented again is told by a span and a count; it costs nothing."""
    annotate({names.PAYMENT_ID: payment.pk, names.WALLET_ADDRESS: payment.payer, names.IS_REPLAY: True})
    annotate_transaction({names.QUOTE_ID: payment.correlation_id})
    REPLAYS.inc()


def _claim_again(payment: Payment) -> None:
    """A retry brings an abandoned payment back to life: look on the chain first, then let it be settled again."""
    if payment.state == PaymentState.SETTLEMENT_UNKNOWN:
        evidence.resolve(payment)
        is_dropped = payment.work == WorkState.FAILED  # its answer is gone: what still arrives is owed, none is fetched
        if is_dropped or (
            payment.state == PaymentState.SETTLEMENT_UNKNOWN and not verification.may_be_sent_again(payment)
        ):
            return
    elif payment.state == PaymentState.VERIFIED:
        mixed_payments.hold_credit(payment)
        if work_first.is_work_first(payment) and payment.work != WorkState.DONE:
            return  # its lease is its worker's
    verification.renew_claim(payment)


def _follow(payment: Payment, work: Work, *, is_replay: bool = False) -> HttpResponseBase:
    """The payment's answer; while books or database cannot be reached, its id and the advice to send it again.

    What had begun is resolved by whoever comes next: the row and its leases say how far it got.
    """
    try:
        return _wait_and_serve(payment, work, is_replay=is_replay)
    except RecoveryInProgress:
        raise
    except (Retryable, OperationalError, InterfaceError) as outage:
        log.warning(names.PAYMENT_INTERRUPTED, payment_id=payment.pk, reason=type(outage).__name__)
        return responses.in_progress(payment)


def _wait_and_serve(payment: Payment, work: Work, *, is_replay: bool) -> HttpResponseBase:
    """Wait for the payment, serve it if it is ours to serve, and answer with what exists: answer, credit or state.

    Holds no database connection while it waits, and no longer than WAIT_SECONDS.
    """
    if work_first.is_work_first(payment) and payment.state == PaymentState.VERIFIED:
        payment = work_first.work_and_settle(payment, work)
    if payment.is_decided:
        return _decided(payment, work)
    deadline = time.monotonic() + loa("WAIT_SECONDS")
    try:
        ticket = watch.join(payment.pk, known_state=payment.state, network=payment.network, is_replay=is_replay)
    except TooManyWaiters:
        _wake_settler(payment)  # it does not wait, and its claim may have been renewed all the same
        return responses.in_progress(payment)
    with ticket:
        _wake_settler(payment)
        while True:
            if payment.state == PaymentState.SETTLED and _serve(payment, work):
                return streaming.begin(payment, work) or responses.of_final(payment, work.outcome)
            if payment.state == PaymentState.SERVING and _took_over_crashed(payment, work):
                begun = streaming.begin(payment, work)
                if begun is not None:
                    return begun
                payment = payment_of(payment.pk)
            if payment.state == PaymentState.SETTLEMENT_UNKNOWN and _is_resolved(payment):
                continue
            if work_first.end_interrupted(payment) or payment.is_decided:
                return _decided(payment, work)
            if (unsendable := _unsendable(payment, ticket)) is not None:
                return unsendable
            remaining = deadline - time.monotonic()
            is_stuck = payment.state == PaymentState.SETTLEMENT_UNKNOWN and not _is_claimed(payment)
            if remaining <= 0 or (is_stuck and not watch.may_stay(ticket)):
                return responses.in_progress(payment)
            ticket.known_state = payment.state
            ticket.wait(min(remaining, WAIT_STEP_SECONDS))
            payment = _news_of(payment, ticket)


def _is_claimed(payment: Payment) -> bool:
    """Whether it is to be sent again: given back by a facilitator, or failed beside a hostile member of its batch."""
    return payment.lease_until is not None and payment.lease_until > timezone.now()


def _wake_settler(payment: Payment) -> None:
    if payment.method in ON_CHAIN:
        settler.wake(payment.network)


def _unsendable(payment: Payment, ticket: Ticket) -> HttpResponse | None:
    """503 at once where no way to settle is open and nothing was sent: waiting longer would bring nothing."""
    seconds, ticket.retry_after_seconds = ticket.retry_after_seconds, 0
    if not seconds or not payment_rows.withdraw(payment):
        return None
    return responses.unsendable(payment, retry_after_seconds=seconds)


def _decided(payment: Payment, work: Work) -> HttpResponseBase:
    """The answer there is, or fresh terms where the payment can never pay. Raises PaymentRefused."""
    _require_alive(payment)
    return responses.of_final(payment, work.outcome)


def _serve(payment: Payment, work: Work) -> bool:
    """Do the work that was paid for, or release what was made before its money came; whether this call ended it."""
    return work_first.release(payment, work) if work_first.is_work_first(payment) else serve(payment, work)


def _is_resolved(payment: Payment) -> bool:
    """Whether the chain shows by now what became of it: somebody else may have carried the authorization (attack 6)."""
    return evidence.resolve(payment) != PaymentState.SETTLEMENT_UNKNOWN


def _news_of(payment: Payment, ticket: Ticket) -> Payment:
    """The payment as it is now: settled as the evidence says that came with the wake-up, else as its row says."""
    evidence, ticket.evidence = ticket.evidence, None
    if evidence is None or work_first.is_work_first(payment):
        return payment_of(payment.pk)
    payment.state = PaymentState.SETTLED
    payment.transaction_hash, payment.block_hash = evidence.transaction_hash, evidence.block_hash
    payment.block_number, payment.log_index = evidence.block_number, evidence.log_index
    return payment


def _took_over_crashed(payment: Payment, work: Work) -> bool:
    """The process that served this payment may have died: run again where the endpoint allows it, else credit."""
    is_rerun = not work_first.is_work_first(payment) and serve(payment, work)
    return is_rerun or sweeps.credit_if_crashed(payment.pk)
