"""One paid request, whoever declared it: a decorator, a REST framework view or the middleware.

`charge` does quote, verify, settle, serve and finalize, in this order; the view runs when the money is there, and sees
what was paid as `request.x402`. `charge_async` is the same for a running event loop: the waiting happens in threads of
its own, the view on the loop.
"""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.handlers.asgi import ASGIRequest
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from telemetry import names
from telemetry.tracing import traced
from x402.models import Payment
from x402.pricing import PARITY, PricedRequest, Rounding, to_micro_usdc
from x402.protocol.strict_json import JsonObject, JsonValue
from x402.services import charging, housekeeping, terms_page
from x402.services.drain import drain
from x402.services.endpoints import Endpoint, actual_cost_of
from x402.services.serving import Work
from x402.services.traces import carrier_of_request

CONTEXT_ATTRIBUTE = "x402"
LARGEST_COST_MICRO_USDC = 10**12  # a million USDC for one call is a broken meter, and would be booked as our expense
THREADS_MAX = 256  # asynchronous requests that may wait for their payment at once; a waiting thread costs little

View = Callable[..., Any]
CallView = Callable[[], HttpResponseBase]
Answer = TypeVar("Answer")
_threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="paid-request")


class InsideTransaction(RuntimeError):
    """Raised when a paid view is called inside a database transaction: its payment could be rolled back (R7)."""


@dataclass(slots=True)
class PaidContext:
    """What a paid view sees as `request.x402`.

    `account_id` is the payer's account, `maximum_micro_usdc` what was paid; the view may charge less with `charge`.
    `json` is the one parsed body that was priced and hashed; a view reads it instead of parsing the body again (R21).
    """

    payment_id: str
    payer: str
    account_id: str
    maximum_micro_usdc: int
    price_version: int
    correlation_id: str
    json: JsonValue
    priced: PricedRequest
    _work: Work

    def charge(self, amount_micro_usdc: int) -> None:
        """Report the actual cost. Units: MicroUSDC. What exceeds the maximum is the site's expense.

        Raises ValueError for what no meter can mean; when the view lets it pass, the payer is credited.
        """
        if isinstance(amount_micro_usdc, bool) or not isinstance(amount_micro_usdc, int):
            raise ValueError("the actual cost is a whole number of MicroUSDC")
        if not 0 <= amount_micro_usdc <= LARGEST_COST_MICRO_USDC:
            raise ValueError("the actual cost is between zero and a million USDC")
        self._work.cost_micro_usdc = amount_micro_usdc

    def remaining(self, cost_micro_usdc: int) -> int:
        """What is left of the paid maximum after this cost; below zero the work must stop. Units: MicroUSDC."""
        return self.maximum_micro_usdc - cost_micro_usdc

    def describe(self, facts: JsonObject) -> None:
        """What the charge is made of, in the view's own words; it goes into the receipt."""
        self._work.facts = facts

    def finish(self, last: bytes) -> bytes:
        """Book a streamed answer now and give back its last part, which leaves only after that.

        A stream that does not call this is booked when it ends. Raises LostLease; let it pass.
        """
        if self._work.book is not None:
            self._work.book(last)
        return last

    @property
    def must_end(self) -> bool:
        """Whether this process is ending and a stream should tell its client so and stop."""
        return drain.is_over


def charge(endpoint: Endpoint, request: HttpRequest, call_view: CallView) -> HttpResponseBase:
    """The answer to this request for a paid endpoint; `call_view` is done when it is paid.

    Raises InsideTransaction. OPTIONS costs nothing and runs nothing: a browser's preflight cannot pay.
    """
    if request.method == "OPTIONS":
        return HttpResponse(status=204)
    housekeeping.begin_if_due()
    return terms_page.for_browser(request, _charge(endpoint, request, call_view))


async def charge_async(
    endpoint: Endpoint, request: HttpRequest, call_view: Callable[[], Awaitable[HttpResponseBase]]
) -> HttpResponseBase:
    """The same on an event loop. The work goes on when the client leaves, so that its answer is there for a retry."""
    loop = asyncio.get_running_loop()
    is_streaming_server = isinstance(request, ASGIRequest)

    def call_on_loop() -> HttpResponseBase:
        response = asyncio.run_coroutine_threadsafe(_called(call_view), loop).result()
        parts = response.streaming_content if isinstance(response, StreamingHttpResponse) else None
        if isinstance(response, StreamingHttpResponse) and isinstance(parts, AsyncIterator):
            # A WSGI server's loop ends with the view: what it streams has to be made before.
            response.streaming_content = (
                _parts_from_loop(loop, parts) if is_streaming_server else list(_parts_from_loop(loop, parts))
            )
        return response

    response = await in_thread(loop, lambda: charge(endpoint, request, call_on_loop))
    if is_streaming_server and isinstance(response, StreamingHttpResponse) and not response.is_async:
        response.streaming_content = _parts_from_thread(loop, iter(response))
    return response


async def _called(call_view: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
    return await call_view()


async def in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], Answer]) -> Answer:
    """Run `work` beside the loop, in this request's context; its database connections are closed afterwards."""
    context = contextvars.copy_context()

    def run() -> Answer:
        try:
            return context.run(work)
        finally:
            connections.close_all()

    return await asyncio.shield(loop.run_in_executor(_threads, run))


def _parts_from_loop(loop: asyncio.AbstractEventLoop, parts: AsyncIterator[bytes]) -> Iterator[bytes]:
    """An asynchronous view's stream for the thread that books it; given up early, the view's generator is closed."""

    async def next_part() -> bytes | None:
        return await anext(parts, None)

    async def close() -> None:
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()

    try:
        while (part := asyncio.run_coroutine_threadsafe(next_part(), loop).result()) is not None:
            yield part
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()


async def _parts_from_thread(loop: asyncio.AbstractEventLoop, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A booked stream for a server with an event loop; each part is made ready in a thread."""
    while (part := await in_thread(loop, lambda: next(parts, None))) is not None:
        yield part


@traced(names.X402_TRANSACTION, parent=lambda endpoint, request, call_view: carrier_of_request(request))
def _charge(endpoint: Endpoint, request: HttpRequest, call_view: CallView) -> HttpResponseBase:
    """Quote, verify, settle, serve, finalize: one request from its headers to its answer."""
    if connection.in_atomic_block:
        raise InsideTransaction("a paid view runs in transactions of its own; remove the surrounding atomic()")

    def run(work: Work, payment: Payment) -> HttpResponseBase:
        return _run_view(endpoint, request, call_view, paid=_context(work, payment))

    return charging.answer(endpoint, request, run)


def _context(work: Work, payment: Payment) -> PaidContext:
    return PaidContext(
        payment_id=payment.pk,
        payer=payment.payer,
        account_id=payment.account_id,
        maximum_micro_usdc=_maximum(work, payment),
        price_version=payment.price_version,
        correlation_id=payment.correlation_id,
        json=work.priced.json,
        priced=work.priced,
        _work=work,
    )


def _maximum(work: Work, payment: Payment) -> int:
    """What was paid for this call, in MicroUSDC whatever it is booked in."""
    if work.rate == PARITY:
        return payment.held_micro_usdc
    return to_micro_usdc(payment.held_micro_usdc, rate=work.rate, rounding=Rounding.DOWN).amount


def _run_view(endpoint: Endpoint, request: HttpRequest, call_view: CallView, *, paid: PaidContext) -> HttpResponseBase:
    setattr(request, CONTEXT_ATTRIBUTE, paid)
    response = call_view()
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        response.render()
    actual = actual_cost_of(endpoint.price)
    if actual is None or response.status_code >= 400:
        return response
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = _metered(iter(response), lambda: paid.charge(actual(request, response)))
    else:
        paid.charge(actual(request, response))
    return response


def _metered(parts: Iterator[bytes], report: Callable[[], None]) -> Iterator[bytes]:
    """The parts, and at their end, or when the client leaves, what they cost; a stream that breaks costs nothing."""
    try:
        yield from parts
    except GeneratorExit:
        report()
        raise
    report()
