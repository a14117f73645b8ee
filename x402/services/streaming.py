"""Answers that are paid for and sent while they are made.

The payment is settled and `serving` when the stream begins. Each part leaves only while the lease is held here with a
margin (R6); a copy of all parts is kept for honest retries, which wait for the end and get it whole (R23). The end is
booked once, whichever it is:

- the work ends: its cost is charged, the rest is change;
- the client goes away: what was made until then is charged, as far as the view has told its cost;
- the work raises: nothing is charged, the whole amount is credited;
- the lease is lost: nothing is booked here, the payer gets the money back by the sweep.

A view that reports its cost as it goes (`request.x402.charge`) is charged for what it made. No database connection is
held between two parts. Memory: the copy, at most 1 MiB a stream.
"""

import contextvars
import threading
from collections.abc import Iterator

from django.db import InterfaceError, OperationalError, connection
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from billing.domain.errors import LostLease, Retryable
from telemetry import names
from telemetry.logging import get_logger
from telemetry.metrics import counter, gauge
from x402.models import Payment
from x402.services import answers, responses
from x402.services.answers import Answer
from x402.services.serving import WORK_FAILED_STATUS, Work, credit_failed_work, end_serving, finish
from x402.services.serving_leases import leases

log = get_logger(__name__)

_open = gauge(names.STREAMS_OPEN, "Paid streams that are being sent by this process.")
_ended = counter(names.STREAMS_ENDED, "Paid streams by how they ended.", labels=("end",))


OUTAGES = (Retryable, OperationalError, InterfaceError)
BOOK_AGAIN_SECONDS = 0.25


class StreamCut(Exception):
    """Raised to the server when a stream cannot go on: the connection breaks, so that no client takes it for whole."""


class OpenStreams:
    """How many streams this process is sending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, number: int) -> None:
        with self._lock:
            self._count += number
            _open.set(self._count)

    def __len__(self) -> int:
        return self._count


open_streams = OpenStreams()


class PaidStream:
    """The parts of one paid answer, for the web server to send. `close` may come at any time, from the same thread."""

    def __init__(self, payment: Payment, work: Work, response: StreamingHttpResponse) -> None:
        self._payment = payment
        self._work = work
        self._response = response
        self._parts: Iterator[bytes] = iter(response)
        self._copy = bytearray()
        self._is_kept = True
        self._is_ended = False
        self._context = contextvars.copy_context()  # what is booked at the end belongs to the request's trace
        open_streams.add(1)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next part, once it is certain that it may leave. Raises StreamCut when the stream has to break."""
        part = None if self._is_ended else self._context.run(self._next)
        if part is None:
            raise StopIteration
        return part

    def book(self, last: bytes) -> None:
        """Charge and keep the answer now, with the part that is about to be sent as its last.

        So a client that sees the end of an answer knows that it is booked. Tried again while the lease is held.
        Raises LostLease.
        """
        if not self._is_ended and self._work.outcome is None:
            self._book(extra=last)

    def close(self) -> None:
        """The server has done with the stream: sent to its end, or given up by the client."""
        if not self._is_ended:
            self._response.close()  # ends the view's generator, which may tell its cost now
            self._context.run(self._end, "disconnected")

    def _next(self) -> bytes | None:
        try:
            part = next(self._parts)
        except StopIteration:
            self._end("finished")
            return None
        except Exception as error:
            # The boundary to code that is not ours: whatever it raises, the payer gets the money back.
            log.exception(names.PAID_WORK_FAILED, payment_id=self._payment.pk, error=type(error).__name__)
            self._fail()
            raise StreamCut from error
        if self._work.outcome is None and not leases.is_held(self._payment.pk):
            log.warning(names.SERVING_LEASE_NOT_RENEWED, payment_id=self._payment.pk, payments=1)
            self._let_go("lease_lost")  # somebody else may have taken the payment over: nothing is booked here
            raise StreamCut
        self._keep(part)
        return part

    def _keep(self, part: bytes) -> None:
        if self._is_kept and len(self._copy) + len(part) <= answers.MAX_BODY_BYTES:
            self._copy += part
        else:
            self._is_kept, self._copy = False, bytearray()

    def _end(self, how: str) -> None:
        """Book what was made, unless the view has done so, and let go of everything."""
        try:
            if self._work.outcome is None:
                self._book()
        except LostLease:
            how = "taken_over"
            log.warning(names.PAYMENT_TAKEN_OVER, payment_id=self._payment.pk, attempt=self._payment.attempt)
        except OUTAGES as outage:
            how = "interrupted"
            log.warning(names.PAYMENT_INTERRUPTED, payment_id=self._payment.pk, reason=type(outage).__name__)
        finally:
            self._let_go(how)

    def _book(self, extra: bytes = b"") -> None:
        body = bytes(self._copy) + extra if self._is_kept else None
        answer = Answer(self._response.status_code, dict(self._response.headers), body)
        while True:
            try:
                return finish(self._payment, self._work, answer)
            except OUTAGES:
                if not leases.is_held(self._payment.pk):
                    raise
                threading.Event().wait(BOOK_AGAIN_SECONDS)
            finally:
                connection.close()

    def _fail(self) -> None:
        """The view raised: nothing is charged. What cannot be credited now is credited by the sweep."""
        try:
            if self._work.outcome is None:
                attempt = self._payment.attempt
                credit_failed_work(self._payment, attempt=attempt, code="paid_work_failed", status=WORK_FAILED_STATUS)
        except (LostLease, *OUTAGES) as error:
            log.warning(names.PAYMENT_INTERRUPTED, payment_id=self._payment.pk, reason=type(error).__name__)
        finally:
            self._let_go("failed")

    def _let_go(self, how: str) -> None:
        self._is_ended = True
        open_streams.add(-1)
        _ended.labels(end=how).inc()
        end_serving(self._payment)
        if not self._response.closed:
            self._response.close()
        connection.close()


def begin(payment: Payment, work: Work) -> HttpResponseBase | None:
    """The response that sends the stream which `work` has begun, or None when it began none.

    Its headers say what is known before the end. The request's database connection is given back here.
    """
    if work.stream is None:
        return None
    paid = PaidStream(payment, work, work.stream)
    work.book = paid.book
    response = StreamingHttpResponse(paid, status=work.stream.status_code, headers=responses.passed_on(work.stream))
    responses.add_payment_headers(response, payment, ())
    connection.close()
    return response
