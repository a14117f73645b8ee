"""Work first, money after: what `settle="after"` and `settle="deferred"` do (R6, R7, R12, R27).

*After*: the answer is kept back until the chain shows the money. The handler's transaction stays open meanwhile, on the
request's own connection, and only for a short budget; everything about the payment is done beside it, in a thread with
connections of its own. When the money does not come in time the transaction is rolled back and the answer dropped; if
it comes all the same, the whole of it is owed. A handler without a transaction has its answer kept, sealed, so that a
retry can have it once the money is there.

*Deferred*: the answer leaves as soon as the books say that its payer owes it; the money follows in a batch.

Work that fails, and work that cost nothing, is never settled. `work` in the payment's row says how far it got; who
works holds the row's lease.
"""

import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone

from billing.domain.errors import LostLease, Refused
from billing.domain.journal import Transition
from billing.services import deferred_sales, recovery
from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from telemetry.problem_codes import PROBLEM_CODES
from x402.models import Payment, PaymentState
from x402.models.payment import SettleOrder, WorkState
from x402.protocol.errors import PaymentRefused
from x402.selectors.payments import payment_of
from x402.services import answers, evidence, exposure, mixed_payments, settler, verification
from x402.services.answers import Answer
from x402.services.crash_points import crash_point
from x402.services.serving import (
    Outcome,
    Withheld,
    Work,
    WorkFailed,
    credit_failed_work,
    end_serving,
    finish,
    note_claim,
    run_handler,
)
from x402.services.serving_leases import leases
from x402.services.waiting import TooManyWaiters, watch

INTERRUPTED_STATUS = 502
WAIT_STEP_SECONDS = 5.0
TOO_SLOW = "settlement_too_slow"

log = get_logger(__name__)


def is_work_first(payment: Payment) -> bool:
    """Whether this payment settles after its work."""
    return payment.settle_order != SettleOrder.BEFORE


def work_and_settle(payment: Payment, work: Work) -> Payment:
    """Do the work of a new payment, if it is ours to do, and what follows from it; the payment as it is then.

    Without an end in time the payment is returned as it is: its row says what a retry will find. Raises PaymentRefused
    when the payer can no longer pay what was worked for: nothing is released, and nothing was taken.
    """
    recovery.require_none()
    work.streams = False  # an answer that is kept back is made whole first
    attempt = leases.claim_work(payment.pk)
    if attempt is None:
        return payment_of(payment.pk)
    payment.attempt, payment.work = attempt, WorkState.RUNNING.value
    settle = _answer_on_credit if payment.settle_order == SettleOrder.DEFERRED else _settle_first
    try:
        settle(payment, work)
    except WorkFailed as failure:
        _fail(payment, code=failure.code, status=failure.status)
    except Withheld as withheld:
        log.warning(names.ANSWER_WITHHELD, payment_id=payment.pk, reason=withheld.reason)
    except LostLease:
        log.warning(names.PAYMENT_TAKEN_OVER, payment_id=payment.pk, attempt=attempt)
    finally:
        end_serving(payment)
    return payment if payment.state == PaymentState.SERVED or work.outcome else payment_of(payment.pk)


def release(payment: Payment, work: Work) -> bool:
    """Release what was worked for to a request that finds its payment settled; whether this call ended the payment.

    An answer that was kept is served; without one, whose maker is gone, the whole amount is owed. Raises LostLease.
    """
    payment.refresh_from_db()
    if payment.state != PaymentState.SETTLED:
        return False
    kept = answers.answer_of(payment) if payment.work == WorkState.DONE else None
    if kept is not None:
        try:
            _take_for_serving(payment)
            _book_served(payment, work, answer=kept, is_kept=True)
        except LostLease:
            return False
        finally:
            end_serving(payment)
        return True
    return give_back(payment)


def give_back(payment: Payment) -> bool:
    """Owe the whole amount of a settled payment whose answer can no longer be released; whether this call did."""
    if payment.state != PaymentState.SETTLED or (payment.work == WorkState.DONE and _has_owner(payment)):
        return False
    code, status = _why_given_back(payment), payment.failure_status or INTERRUPTED_STATUS
    try:
        credit_failed_work(payment, attempt=payment.attempt, code=code, status=status)
    except LostLease:
        return False
    watch.announce([payment.pk])
    return True


def _why_given_back(payment: Payment) -> str:
    """Why the work failed, or that nobody is left to release it; what held up its settlement is not why."""
    if payment.work != WorkState.FAILED:
        return "work_interrupted"
    return payment.failure_code if payment.failure_code in PROBLEM_CODES else TOO_SLOW


def end_interrupted(payment: Payment) -> bool:
    """Mark work that stopped without an end as failed: its maker is gone, nothing was settled and nothing will be."""
    if payment.state != PaymentState.VERIFIED or payment.work != WorkState.RUNNING or _has_owner(payment):
        return False
    return _fail(payment, code="work_interrupted", status=INTERRUPTED_STATUS)


def _settle_first(payment: Payment, work: Work) -> None:
    """Release the answer only once the chain shows its money. Raises what `_settle` raises, WorkFailed."""

    def keep_back(answer: Answer) -> None:
        cost = _cost_of(payment, work)
        if cost == 0:
            return
        if work.atomic:
            _beside(lambda: _settle(payment, cost, seconds=loa("AFTER_COMMIT_SECONDS")))
            return
        answers.store_answer(payment.pk, attempt=payment.attempt, answer=answer, facts=work.facts)
        _settle(payment, cost, seconds=loa("WAIT_SECONDS"))

    try:
        answer = run_handler(payment, work, before_commit=keep_back)
    except WorkFailed as failure:
        if payment.state != PaymentState.SERVING:
            raise
        # Its COMMIT failed when the money was there already: the work is gone, and the money is the payer's (R7).
        notes = credit_failed_work(payment, attempt=payment.attempt, code=failure.code, status=failure.status)
        work.outcome = Outcome(answer=None, notes=notes)
        return
    if payment.state == PaymentState.SERVING:
        crash_point("after_settled_work")
        _book_served(payment, work, answer=answer, is_kept=not work.atomic)
    else:
        _serve_free(payment, work, answer)


def _settle(payment: Payment, cost: int, *, seconds: float) -> None:
    """Settle what the work cost, and take the payment for serving once the money is there.

    Raises PaymentRefused when the payer can no longer pay, before anything is sent; Withheld when the money does not
    come in time; LostLease.
    """
    actual = min(cost, payment.amount_micro_usdc) if payment.scheme == "upto" else payment.amount_micro_usdc
    try:
        verification.require_payable_now(payment, amount_micro_usdc=actual)
    except PaymentRefused as refusal:
        _fail(payment, code=refusal.reason, status=402)
        raise
    except RpcFailure as failure:
        _fail(payment, code="settlement_unavailable", status=503)
        raise WorkFailed("settlement_unavailable", 503) from failure
    _say_what_it_cost(payment, cost=cost, actual=actual)
    crash_point("after_work")
    if not _await_settlement(payment, seconds):
        if payment.state == PaymentState.DEAD or not _drop_unless_settled(payment):
            raise Withheld(str(payment.failure_code or payment.state))
        payment.refresh_from_db()
    _take_for_serving(payment)


def _take_for_serving(payment: Payment) -> None:
    """Nobody else may release or owe it from here on. Raises LostLease."""
    claim = leases.claim(payment.pk)
    if claim is None:
        raise LostLease(payment_id=payment.pk)
    note_claim(payment, claim)


def _say_what_it_cost(payment: Payment, *, cost: int, actual: int) -> None:
    """From here on the payment is due; what it settles never changes (R2). Raises LostLease."""
    charged = min(cost, payment.amount_micro_usdc)
    said = {
        "work": WorkState.DONE,
        "actual_micro_usdc": actual,
        "charged_micro_usdc": charged,
        "overrun_micro_usdc": cost - charged,
    }
    leases.drop(payment.pk)  # from here on the lease is the claim of a request that waits, and is not renewed
    moved = Payment.objects.filter(
        pk=payment.pk, state=PaymentState.VERIFIED, work=WorkState.RUNNING, attempt=payment.attempt
    ).update(lease_until=verification.claim_until(), **said)
    if not moved:
        raise LostLease(payment_id=payment.pk)
    for name, value in said.items():
        setattr(payment, name, value)


def _await_settlement(payment: Payment, seconds: float) -> bool:
    """Whether the chain shows the money within this time. Holds no database connection while it waits."""
    deadline = time.monotonic() + seconds
    try:
        ticket = watch.join(payment.pk, known_state=payment.state)
    except TooManyWaiters:
        return False
    with ticket:
        settler.wake(payment.network)
        while True:
            heard, ticket.evidence = ticket.evidence, None
            if heard is None:
                payment.refresh_from_db()
                if payment.state == PaymentState.SETTLEMENT_UNKNOWN:
                    evidence.resolve(payment)
            else:
                payment.state, payment.transaction_hash = PaymentState.SETTLED, heard.transaction_hash
            if payment.state == PaymentState.SETTLED:
                return True
            remaining = deadline - time.monotonic()
            if payment.is_final or remaining <= 0:
                return False
            ticket.known_state = payment.state
            ticket.wait(min(remaining, WAIT_STEP_SECONDS))


def _drop_unless_settled(payment: Payment) -> bool:
    """Give the answer of a handler with a transaction up; True when the money came at the last moment instead.

    A kept answer is not dropped: a retry has it as soon as the money is there.
    """
    if answers.is_kept(payment):
        raise Withheld("settlement_pending")
    dropped = Payment.objects.filter(
        pk=payment.pk,
        work=WorkState.DONE,
        state__in=[PaymentState.VERIFIED, PaymentState.SETTLING, PaymentState.SETTLEMENT_UNKNOWN],
    ).update(
        work=WorkState.FAILED,
        failure_code=TOO_SLOW,
        failure_status=INTERRUPTED_STATUS,
        charged_micro_usdc=0,
        overrun_micro_usdc=0,
    )
    return not dropped


def _book_served(payment: Payment, work: Work, *, answer: Answer, is_kept: bool) -> None:
    """Charge what the work said it cost, which the row remembers. Raises LostLease."""
    work.cost_micro_usdc = (payment.charged_micro_usdc or 0) + payment.overrun_micro_usdc
    finish(payment, work, answer, is_kept=is_kept)


def _serve_free(payment: Payment, work: Work, answer: Answer) -> None:
    """Work that cost nothing: no transaction, and the authorization stays unspent. Raises LostLease."""
    answers.store_answer(payment.pk, attempt=payment.attempt, answer=answer, facts=work.facts)
    moved = Payment.objects.filter(
        pk=payment.pk, state=PaymentState.VERIFIED, work=WorkState.RUNNING, attempt=payment.attempt
    ).update(state=PaymentState.SERVED, work=WorkState.DONE, actual_micro_usdc=0, charged_micro_usdc=0)
    if not moved:
        raise LostLease(payment_id=payment.pk)
    exposure.lower(payment.pk, to_micro_usdc=0)
    payment.state, payment.actual_micro_usdc, payment.charged_micro_usdc = PaymentState.SERVED, 0, 0
    work.outcome = Outcome(answer=answer, notes=())


def _answer_on_credit(payment: Payment, work: Work) -> None:
    """Release the answer when the books say that its payer owes it. Raises WorkFailed, LostLease."""
    answer = run_handler(payment, work)
    cost = _cost_of(payment, work)
    if cost == 0:
        _serve_free(payment, work, answer)
        return
    charged = min(cost, payment.amount_micro_usdc)
    actual = charged if payment.scheme == "upto" else payment.amount_micro_usdc
    answers.store_answer(payment.pk, attempt=payment.attempt, answer=answer, facts=work.facts)
    try:
        deferred_sales.book_sale(_sale(payment, charged=charged, overrun=cost - charged, actual=actual))
    except Refused as refusal:
        raise WorkFailed(refusal.code, INTERRUPTED_STATUS) from refusal
    payment.work, payment.actual_micro_usdc, payment.charged_micro_usdc = WorkState.ANSWERED, actual, charged
    work.outcome = Outcome(answer=answer, notes=())
    crash_point("after_answer_on_credit")
    exposure.lower(payment.pk, to_micro_usdc=actual)
    _let_wait_for_others(payment)
    settler.wake_later(payment.network, loa("DEFERRED_SETTLE_SECONDS"))


def _let_wait_for_others(payment: Payment) -> None:
    """Answered payments travel together: this one is due when its lease ends."""
    later = timezone.now() + timedelta(seconds=loa("DEFERRED_SETTLE_SECONDS"))
    Payment.objects.filter(pk=payment.pk, state=PaymentState.VERIFIED).update(lease_until=later)


def _sale(payment: Payment, *, charged: int, overrun: int, actual: int) -> deferred_sales.DeferredSale:
    return deferred_sales.DeferredSale(
        payment_id=payment.pk,
        wallet=payment.payer,
        denomination=mixed_payments.denomination_of(payment),
        charged_micro_usdc=charged,
        overrun_micro_usdc=overrun,
        correlation_id=payment.correlation_id,
        transition=Transition(
            table="x402_payment",
            row_id=payment.pk,
            from_state=PaymentState.VERIFIED,
            to_state=PaymentState.VERIFIED,
            attempt=payment.attempt,
            changes={
                "work": WorkState.ANSWERED.value,
                "actual_micro_usdc": actual,
                "charged_micro_usdc": charged,
                "overrun_micro_usdc": overrun,
            },
        ),
    )


def _has_owner(payment: Payment) -> bool:
    """Whether a process holds this payment's lease, by the database's clock."""
    return Payment.objects.filter(pk=payment.pk, lease_until__gt=Now()).exists()


def _cost_of(payment: Payment, work: Work) -> int:
    return payment.amount_micro_usdc if work.cost_micro_usdc is None else work.cost_micro_usdc


def _fail(payment: Payment, *, code: str, status: int) -> bool:
    """Nothing will be settled for this work; whether this call said so. Its room in the limits is given back."""
    moved = Payment.objects.filter(
        pk=payment.pk, state=PaymentState.VERIFIED, work=WorkState.RUNNING, attempt=payment.attempt
    ).update(work=WorkState.FAILED, failure_code=code, failure_status=status)
    if moved:
        payment.work, payment.failure_code, payment.failure_status = WorkState.FAILED, code, status
        exposure.lower(payment.pk, to_micro_usdc=0)
    return bool(moved)


def _beside(work: Callable[[], None]) -> None:
    """Do this in a thread with database connections of its own, while this one keeps its transaction open."""
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(work)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1, thread_name_prefix="settle-beside-work") as aside:
        aside.submit(run).result()
