"""Answers to requests for paid endpoints: what was bought, or a problem that says what happened and what to do next."""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from accounts.services.errors import AccountsError
from billing.selectors import credit_notes
from outbound.json_rpc import RpcFailure
from telemetry.problem import problem_response
from telemetry.problem_codes import problem_code
from x402.models import Payment, PaymentState
from x402.models.payment import Method
from x402.protocol import headers, offer_receipt
from x402.protocol.errors import MalformedPayment, PaymentRefused, UnpriceableRequest
from x402.protocol.response import SettleResponse
from x402.protocol.strict_json import JsonObject
from x402.services import answers
from x402.services.paid_requests import BodyTooLarge
from x402.services.rates import RateLimited
from x402.services.receipts import sign_receipt
from x402.services.serving import IssuedNote, Outcome
from x402.services.signed_statements import receipt_extension

RETRY_AFTER_SECONDS: Final = 5
RECOVERY_SECONDS: Final = 30  # a person compares; asking more often only makes noise
IN_FLIGHT_SECONDS: Final = 1
PAYMENT_ID: Final = "Loa-Payment-Id"
PROXY_BUFFERING: Final = "X-Accel-Buffering"  # a proxy that gathers a stream would take away what it is for
VARY: Final = ("Authorization", "PAYMENT-SIGNATURE", "X-PAYMENT", "SIGN-IN-WITH-X", "Idempotency-Key")


def malformed(error: MalformedPayment) -> HttpResponse:
    """400: what was sent cannot be read."""
    return problem_response(error.code, 400, error.detail)


def not_proven(error: AccountsError) -> HttpResponse:
    """401: the caller claims an identity it does not prove; 403: what it proves is not enough.

    Never a price: it may have paid already.
    """
    return problem_response(error.code, detail=error.detail)


def refused_unread(refusal: PaymentRefused) -> HttpResponse:
    """402 without terms: the header names another protocol version than it is for, so nothing in it was read."""
    return problem_response(refusal.reason, 402, refusal.detail)


def rate_limited(limited: RateLimited) -> HttpResponse:
    """429: only for new payments and unpaid requests; a payment that is known is never limited here (R19)."""
    return problem_response("rate_limited", 429, retry_after_seconds=limited.retry_after_seconds)


def key_cannot_pay(code: str, facts: Mapping[str, Any]) -> HttpResponse:
    """402: a good key with too little money, or above its cap. No terms: a signed payment beside a key is ambiguous."""
    return problem_response(code, 402, **facts)


def key_reused() -> HttpResponse:
    """422: an idempotency key names one request, and this is another."""
    return problem_response("idempotency_key_reused", 422, "This key was used for another request.")


def name_taken() -> HttpResponse:
    """409: a payment identifier names one purchase, and this request is another; the payment was not taken."""
    return problem_response(
        "idempotency_key_reused", 409, "This identifier names another purchase. The payment was not taken."
    )


def key_in_flight(payment: Payment) -> HttpResponse:
    """409: the first request of this Idempotency-Key still runs; asking again later gets its answer."""
    return _problem(payment, "idempotency_key_in_flight", 409, retry_after_seconds=IN_FLIGHT_SECONDS)


def too_much_unbooked() -> HttpResponse:
    """503: so much served work waits to be booked that no more is begun. Nothing was taken."""
    return problem_response("pending_risk_cap", 503, retry_after_seconds=RECOVERY_SECONDS)


def body_too_large(error: BodyTooLarge) -> HttpResponse:
    """413: the body is above the limit."""
    return problem_response("payload_too_large", 413, str(error), limit_bytes=error.limit_bytes)


def unpriceable(error: UnpriceableRequest) -> HttpResponse:
    """422: readable, but nothing that is for sale; or the status of its code, where that says when it will be."""
    status = problem_code(error.code, status=422).status
    facts: dict[str, Any] = {"field": error.field} if error.field else {}
    if status in (429, 503):
        facts["retry_after_seconds"] = RETRY_AFTER_SECONDS
    return problem_response(error.code, status, error.detail, **facts)


def nonce_already_used() -> HttpResponse:
    """409: the chain shows this authorization used, and nothing shows that it paid us for this (R11)."""
    return problem_response("nonce_already_used", 409, "This authorization was used before; sign a new one.")


def settlement_unavailable(failure: RpcFailure) -> HttpResponse:
    """503: the chain cannot be asked now; the payment was not taken and stays unspent."""
    return problem_response(
        "settlement_unavailable",
        503,
        "The network cannot be reached now. Nothing was taken; the payment is still good.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def recovery_in_progress() -> HttpResponse:
    """503: the books are being compared with the chain after a failover; a payment that was sent is still good."""
    return problem_response(
        "recovery_in_progress",
        503,
        "The books are being compared with the chain. Nothing was taken; send the same payload again later.",
        retry_after_seconds=RECOVERY_SECONDS,
    )


def already_used(payment: Payment) -> HttpResponse:
    """409: the payload is public once broadcast and proves nothing; state only, no terms (R1)."""
    return _problem(
        payment,
        "payment_already_used",
        409,
        "This payment was used, and the request does not prove to come from the payer's side.",
    )


def used_for_another_request(payment: Payment) -> HttpResponse:
    """409 for a payment bound to another request; 422 when it was an idempotency key that named another body."""
    if payment.method in (Method.CREDIT_NOTES, Method.API_KEY):
        return key_reused()
    return _problem(payment, "payment_already_used", 409, "This payment is bound to another request.")


def in_progress(payment: Payment) -> HttpResponse:
    """503 with the payment's id: ask again with the same payload; a fresh one could pay twice."""
    unknown = payment.state == PaymentState.SETTLEMENT_UNKNOWN
    return _problem(
        payment,
        "settlement_unknown" if unknown else "payment_in_progress",
        503,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def unsendable(payment: Payment, *, retry_after_seconds: int) -> HttpResponse:
    """503: no way to settle is open. Nothing was sent, and the same payment can be when one is."""
    return _problem(
        payment,
        "settlement_unavailable",
        503,
        "Payments cannot be sent to the network now. Nothing was taken; send the same payment again later.",
        retry_after_seconds=retry_after_seconds,
    )


def _problem(payment: Payment, code: str, status: int, detail: str = "", **facts: object) -> HttpResponse:
    """A problem that names its payment and the state, which anyone who holds the id may know."""
    facts |= {"payment_id": payment.pk, "state": payment.state}
    return problem_response(code, status, detail, headers={PAYMENT_ID: payment.pk}, **facts)


def of_final(payment: Payment, outcome: Outcome | None = None) -> HttpResponse:
    """The one answer of a payment in a final state, the same for the first request and for every retry of the payer.

    `outcome` is what this very request has just served; without it everything is read from the record.
    """
    notes = _notes(payment, outcome)
    if payment.state == PaymentState.SERVED or payment.is_answered_on_credit:
        response = _served(payment, notes, outcome)
    elif payment.has_failed_unpaid:
        response = _failed_unpaid(payment)
    elif payment.state == PaymentState.DEAD:
        response = _problem(
            payment,
            "payment_refused",
            402,
            f"The authorization can no longer pay: {payment.failure_code or 'it expired unused'}.",
        )
    else:
        response = _credited(payment, notes)
    add_payment_headers(response, payment, notes)
    return response


def _notes(payment: Payment, outcome: Outcome | None) -> tuple[IssuedNote, ...]:
    if outcome is not None:
        return outcome.notes
    return tuple(
        IssuedNote(id=note.id, kind=note.kind, amount=note.amount) for note in credit_notes.notes_from(payment.pk)
    )


def _served(payment: Payment, notes: tuple[IssuedNote, ...], outcome: Outcome | None) -> HttpResponse:
    answer = outcome.answer if outcome and outcome.answer else answers.answer_of(payment)
    if answer is None or answer.body is None:
        receipt = settle_response(payment, notes).to_v2()
        return _problem(payment, "answer_expired", 410, receipt=receipt)
    response = HttpResponse(answer.body, status=answer.status)
    for name in answers.KEPT_HEADERS:
        if name in answer.headers:
            response[name] = answer.headers[name]
    return response


def passed_on(made: HttpResponseBase) -> dict[str, str]:
    """The headers of a view's streamed answer that its client gets."""
    return {name: made.headers[name] for name in (*answers.KEPT_HEADERS, PROXY_BUFFERING) if name in made.headers}


def _failed_unpaid(payment: Payment) -> HttpResponse:
    """The work failed before it was paid for: nothing was taken, and the authorization will not be used."""
    return _problem(
        payment,
        payment.failure_code or "paid_work_failed",
        payment.failure_status or 502,
        "The work failed before its payment was settled. Nothing was taken; sign a new payment to try again.",
    )


def _credited(payment: Payment, notes: tuple[IssuedNote, ...]) -> HttpResponse:
    if payment.method == Method.API_KEY:
        detail = "The work failed. Nothing was charged: the whole amount is back in the prepaid balance."
    else:
        detail = "The work failed after payment. The whole amount is a credit note, which does not expire."
    return _problem(
        payment,
        payment.failure_code or "paid_work_failed",
        payment.failure_status or 502,
        detail,
        credit_notes=[{"id": note.id, "amount_micro_usdc": str(note.amount), "kind": note.kind} for note in notes],
    )


def settle_response(payment: Payment, notes: tuple[IssuedNote, ...]) -> SettleResponse:
    """The payment's settlement as the protocol tells it, with ours under the extension `loa`.

    What is charged is not known while an answer is being streamed.
    """
    ours: JsonObject = {
        "payment_id": payment.pk,
        "state": payment.state,
        "quoted_micro_usdc": str(payment.amount_micro_usdc + payment.credit_applied_micro_usdc),
    }
    if payment.is_final:
        ours["charged_micro_usdc"] = str(payment.charged_micro_usdc or 0)
    if notes:
        ours["credit_note"] = {
            "id": notes[0].id,
            "amount_micro_usdc": str(notes[0].amount),
            "kind": notes[0].kind,
        }
    is_unpaid = payment.has_failed_unpaid or payment.state == PaymentState.DEAD
    extensions: JsonObject = {"loa": ours}
    if payment.transaction_hash and payment.settled_at is not None and not is_unpaid:
        signed = sign_receipt(payment).statement
        extensions[offer_receipt.EXTENSION] = receipt_extension(signed)
    return SettleResponse(
        success=not is_unpaid,
        transaction=payment.transaction_hash,
        network=payment.network,
        payer=payment.payer,
        amount=payment.due_micro_usdc,
        error_reason=payment.failure_code if is_unpaid else "",
        extensions=extensions,
    )


def add_payment_headers(response: HttpResponseBase, payment: Payment, notes: tuple[IssuedNote, ...]) -> None:
    """The receipt header of the payment's protocol version, and the headers that keep paid answers out of caches."""
    receipt = settle_response(payment, notes)
    if payment.protocol_version == 1:
        response[headers.X_PAYMENT_RESPONSE] = headers.encode_object(receipt.to_v1())
    else:
        response[headers.PAYMENT_RESPONSE] = headers.encode_object(receipt.to_v2())
    response[PAYMENT_ID] = payment.pk
    keep_private(response)


def keep_private(response: HttpResponseBase) -> None:
    """No cache may keep an answer that was paid for, or terms that were made for one request (attack 13)."""
    response["Cache-Control"] = "private, no-store"
    patch_vary_headers(response, VARY)
