"""Serving a settled payment: exactly one process does the work, and exactly one of answer and credit exists (R6).

`serving` is committed before the work starts, `served` before any byte of the answer leaves, both by the same attempt.
Work that fails becomes a credit note of kind `owed` in the transaction that records the failure.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction

from django.db import InternalError, connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from psycopg.pq import TransactionStatus

from billing.domain.errors import FinalizeDeferred, LostLease
from billing.domain.journal import Transition
from billing.services import finalization, recovery
from telemetry import names
from telemetry.logging import get_logger
from telemetry.tracing import annotate, traced
from x402.metrics import OVERRUN, REVENUE
from x402.models import Payment, PaymentState
from x402.pricing import PARITY, PricedRequest, Rounding, to_micro_usd
from x402.protocol.errors import PaymentRefused
from x402.protocol.strict_json import JsonObject
from x402.services import answers, mixed_payments, purchases
from x402.services.answers import Answer
from x402.services.crash_points import crash_point
from x402.services.serving_leases import Claim, leases
from x402.services.waiting import watch

WORK_FAILED_STATUS = 502

log = get_logger(__name__)


Run = Callable[["Work", Payment], HttpResponseBase]


@dataclass(slots=True)
class Work:
    """One run of the paid handler for the request that was priced; the cost it reports is read afterwards.

    `cost_micro_usdc` is None while the handler has not reported one; then the whole amount is charged. `rate` is
    MicroUSDC per unit that the payment is booked in: one, but for calls by API key, booked in MicroUSD. With `streams`
    a streaming answer is given on as it is made, and `stream` holds it until its end is booked. `facts` say what the
    charge was made of, for the receipt; `book` ends a stream that is being sent.
    """

    run: Run
    priced: PricedRequest
    atomic: bool = True
    streams: bool = False
    cost_micro_usdc: int | None = None
    rate: Fraction = PARITY
    facts: JsonObject = field(default_factory=dict)
    stream: StreamingHttpResponse | None = None
    book: Callable[[bytes], None] | None = None
    outcome: "Outcome | None" = None


@dataclass(frozen=True, slots=True)
class IssuedNote:
    """A credit note that this payment gave rise to. Units: MicroUSDC."""

    id: str
    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What serving came to, so that the first answer need not be read back: the answer, or None when it failed."""

    answer: Answer | None
    notes: tuple[IssuedNote, ...]


class Withheld(Exception):
    """Raised when an answer that was made may not be released. Its handler's transaction is rolled back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WorkFailed(Exception):
    """Raised when the paid handler answered an error. Its own transaction is rolled back and the payer credited."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def serve(payment: Payment, work: Work) -> bool:
    """Do the work of this settled payment, if it is ours to do. True when this call served or credited it.

    False when another process does or did. No lock is held while the handler runs; its lease is renewed by heartbeat.
    A stream is begun only: `work.stream` is then to be sent, and whoever sends it ends it (`services.streaming`).
    """
    recovery.require_none()
    claim = leases.claim(payment.pk)
    if claim is None:
        return False
    try:
        note_claim(payment, claim)
        try:
            answer = _run(payment, work, before_commit=None)
        except WorkFailed as failure:
            notes = credit_failed_work(payment, attempt=claim.attempt, code=failure.code, status=failure.status)
            work.outcome = Outcome(answer=None, notes=notes)
            return True
        if answer is not None:
            finish(payment, work, answer)
    except LostLease:
        log.warning(names.PAYMENT_TAKEN_OVER, payment_id=payment.pk, attempt=claim.attempt)
        return False
    finally:
        if work.stream is None:
            end_serving(payment)
    return True


def note_claim(payment: Payment, claim: Claim) -> None:
    """Let this object say what its row says since the claim; its first receipt names the time that every later does."""
    payment.state, payment.attempt, payment.settled_at = PaymentState.SERVING, claim.attempt, claim.settled_at


def finish(payment: Payment, work: Work, answer: Answer, *, is_kept: bool = False) -> None:
    """Keep the answer and book what it cost; from then on it may leave. Raises LostLease, and books nothing then.

    An answer that was made before its money came `is_kept` already.
    """
    crash_point("before_commit")
    if not is_kept:
        answers.store_answer(payment.pk, attempt=payment.attempt, answer=answer, facts=work.facts)
    notes = _finalize(payment, attempt=payment.attempt, cost_micro_usdc=_booked_cost(work))
    work.outcome = Outcome(answer=answer, notes=notes)
    crash_point("after_commit")


def _booked_cost(work: Work) -> int | None:
    """What the work cost in the unit its payment is booked in; rounded down, as every charge is."""
    if work.cost_micro_usdc is None or work.rate == PARITY:
        return work.cost_micro_usdc
    return to_micro_usd(work.cost_micro_usdc, rate=work.rate, rounding=Rounding.DOWN).amount


def end_serving(payment: Payment) -> None:
    """This process has done with the payment: its lease is no longer renewed, and who waits for it may look."""
    leases.drop(payment.pk)
    watch.announce([payment.pk])


def run_handler(payment: Payment, work: Work, *, before_commit: Callable[[Answer], None] | None = None) -> Answer:
    """The handler's whole answer. `before_commit` is called with it before the handler's own transaction ends.

    What it raises of Withheld, LostLease, PaymentRefused and WorkFailed rolls the transaction back and is raised here.
    Raises WorkFailed for an exception or a status ≥ 400, and for a COMMIT that fails.
    """
    answer = _run(payment, work, before_commit=before_commit)
    if answer is None:
        raise WorkFailed("paid_work_failed", WORK_FAILED_STATUS)
    return answer


def _run(payment: Payment, work: Work, *, before_commit: Callable[[Answer], None] | None) -> Answer | None:
    """The handler's answer, in a transaction of its own (R7); None when it is a stream, which is in `work.stream` then.

    Raises WorkFailed for an exception or a status ≥ 400.
    """
    own_transaction = transaction.atomic() if work.atomic else nullcontext()
    if not work.atomic:
        connection.close()
    try:
        with own_transaction:
            response = work.run(work, payment)
            if response.status_code >= 400:
                raise WorkFailed("paid_work_failed", response.status_code)
            if work.streams and isinstance(response, StreamingHttpResponse):
                _require_unbroken_transaction()
                work.stream = response
                return None
            body = _body_of(response)
            if len(body) > answers.MAX_BODY_BYTES:
                # It could not be given again to a payer who lost it on the way (R23).
                log.warning(names.PAID_WORK_FAILED, payment_id=payment.pk, error="AnswerTooLarge")
                raise WorkFailed("paid_work_failed", WORK_FAILED_STATUS)
            _require_unbroken_transaction()
            answer = Answer(status=response.status_code, headers=dict(response.headers), body=body)
            if before_commit is not None:
                _ask(before_commit, answer)
    except WorkFailed:
        raise
    except _Verdict as verdict:
        raise verdict.error from None
    except Exception as error:
        # The boundary to code that is not ours: whatever it raises, the payer gets the money back.
        log.exception(names.PAID_WORK_FAILED, payment_id=payment.pk, error=type(error).__name__)
        raise WorkFailed("paid_work_failed", WORK_FAILED_STATUS) from error
    return answer


class _Verdict(Exception):
    """Carries what `before_commit` raised past the boundary to the handler's code, which may raise the same classes."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _ask(before_commit: Callable[[Answer], None], answer: Answer) -> None:
    try:
        before_commit(answer)
    except (WorkFailed, Withheld, LostLease, PaymentRefused) as error:
        raise _Verdict(error) from error


def _require_unbroken_transaction() -> None:
    """Refuse to go on when the handler swallowed a database error: its COMMIT would silently undo its work (R7)."""
    opened = connection.connection
    if opened is not None and opened.info.transaction_status == TransactionStatus.INERROR:
        raise InternalError("the handler left its transaction broken")


def _body_of(response: HttpResponseBase) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return b"".join(response)
    if isinstance(response, HttpResponse):
        return bytes(response.content)
    raise WorkFailed("paid_work_failed", WORK_FAILED_STATUS)


@traced(names.X402_FINALIZE)
def _finalize(payment: Payment, *, attempt: int, cost_micro_usdc: int | None) -> tuple[IssuedNote, ...]:
    if payment.minted_micro_usd:
        purchases.close(payment, attempt=attempt)
        payment.charged_micro_usdc, payment.state = payment.amount_micro_usdc, PaymentState.SERVED
        return ()
    cost = payment.held_micro_usdc if cost_micro_usdc is None else cost_micro_usdc
    charged = min(cost, payment.held_micro_usdc)
    annotate({names.BILLING_ENTRY_ID: payment.entry_id, names.PAYMENT_ID: payment.pk, names.ATTEMPT: attempt})
    request = _request(
        payment,
        attempt=attempt,
        cost_micro_usdc=cost - mixed_payments.credit_share(payment, charged),
        to_state=PaymentState.SERVED,
        changes={"charged_micro_usdc": charged, "overrun_micro_usdc": cost - charged},
    )
    notes: tuple[IssuedNote, ...] = ()
    try:
        notes = _issued(finalization.finalize(payment=request), kind="change")
    except FinalizeDeferred as deferred:
        # Served all the same: the cost is stored with a dead letter, and the money stays held until it is worked off.
        log.warning(names.DEAD_LETTER_ENQUEUED, payment_id=payment.pk, reason=str(deferred))
    REVENUE.inc(charged)
    OVERRUN.inc(cost - charged)
    payment.charged_micro_usdc = charged
    payment.state = PaymentState.SERVED
    mixed_payments.end_credit(payment)
    return notes


def credit_failed_work(payment: Payment, *, attempt: int, code: str, status: int) -> tuple[IssuedNote, ...]:
    """Give the whole amount back as a note of kind `owed`, and remember why. Raises LostLease.

    What was bought with its settlement stays bought: a purchase ends as served, with the answer its buyer missed.
    """
    if payment.minted_micro_usd:
        answers.store_answer(payment.pk, attempt=attempt, answer=purchases.stored_answer(payment), facts={})
        return _finalize(payment, attempt=attempt, cost_micro_usdc=None)
    changes: dict[str, str | int] = {"failure_code": code, "failure_status": status}
    if payment.charged_micro_usdc:  # what its work said it cost, before its answer was given up
        changes |= {"charged_micro_usdc": 0, "overrun_micro_usdc": 0}
        payment.charged_micro_usdc = payment.overrun_micro_usdc = 0
    finalized = finalization.credit_owed(
        payment=_request(payment, attempt=attempt, cost_micro_usdc=0, to_state=PaymentState.CREDITED, changes=changes),
        reason=code,
    )
    payment.state, payment.failure_code, payment.failure_status = PaymentState.CREDITED, code, status
    mixed_payments.end_credit(payment)
    log.info(names.PAYMENT_CREDITED, payment_id=payment.pk, code=code)
    return _issued(finalized, kind="owed")


def _issued(finalized: finalization.Finalized, *, kind: str) -> tuple[IssuedNote, ...]:
    if finalized.credit_note_id is None:
        return ()
    return (IssuedNote(id=finalized.credit_note_id, kind=kind, amount=finalized.credit_note_micro_usdc),)


def _request(
    payment: Payment, *, attempt: int, cost_micro_usdc: int, to_state: str, changes: dict[str, str | int]
) -> finalization.FinalizeRequest:
    return finalization.FinalizeRequest(
        payment_id=payment.pk,
        entry_id=payment.entry_id,
        account_id=payment.account_id,
        wallet=payment.payer,
        denomination=mixed_payments.denomination_of(payment),
        held_micro_usdc=payment.amount_micro_usdc if mixed_payments.is_mixed(payment) else payment.held_micro_usdc,
        cost_micro_usdc=cost_micro_usdc,
        correlation_id=payment.correlation_id,
        transition=Transition(
            table="x402_payment",
            row_id=payment.pk,
            from_state=payment.state,
            to_state=to_state,
            attempt=attempt,
            changes=changes,
        ),
    )
