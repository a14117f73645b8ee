"""The gate: charge for a Django view.

    @requires_payment(price="$0.01", description="Tomorrow's weather")
    def forecast(request): ...

An unpaid request gets 402 with signed terms and writes nothing. A paid one is verified, settled, served and booked, in
this order, and the answer leaves only after `served` is committed (R6). A payer's retry gets the stored answer for
nothing. Inside the view `request.x402` names the payer and takes the actual cost: `request.x402.charge(micro_usdc)`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.views.decorators.csrf import csrf_exempt

from telemetry import names
from telemetry.tracing import traced
from x402.models import Payment
from x402.pricing import PricedRequest
from x402.protocol.strict_json import JsonObject, JsonValue
from x402.services import charging
from x402.services.drain import drain
from x402.services.endpoints import Endpoint, price_of
from x402.services.quotes import ENDPOINT_ATTRIBUTE
from x402.services.serving import Work
from x402.services.traces import carrier_of_request

CONTEXT_ATTRIBUTE = "x402"
LARGEST_COST_MICRO_USDC = 10**12  # a million USDC for one call is a broken meter, and would be booked as our expense

View = Callable[..., HttpResponseBase]


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


def requires_payment(
    *,
    price: object,
    description: str = "",
    mime_type: str = "application/json",
    settle: str = "before",
    on_crash: str = "credit",
    atomic: bool = True,
) -> Callable[[View], View]:
    """Charge for this view.

    `price` is a string such as "$0.01", an int of MicroUSDC, or an object with `maximum(PricedRequest) -> Quotation`.
    `on_crash` says what a crash during the work means: "credit" gives the money back, "rerun" runs the view once more.
    `atomic=False` runs the view outside a transaction of its own, for work that waits for others, so that it holds no
    database connection meanwhile.
    Raises ValueError for a price, order or crash rule that does not exist.
    """
    if settle != "before":
        raise ValueError(f"settle={settle!r} is not supported; a payment settles before its answer")
    if on_crash not in ("credit", "rerun"):
        raise ValueError(f"on_crash must be 'credit' or 'rerun', not {on_crash!r}")
    endpoint = Endpoint(
        price=price_of(price), description=description, mime_type=mime_type, on_crash=on_crash, atomic=atomic
    )

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def paid(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            return _charge(endpoint, request, functools.partial(view, request, *args, **kwargs))

        setattr(paid, ENDPOINT_ATTRIBUTE, endpoint)
        exempt: View = csrf_exempt(transaction.non_atomic_requests(paid))
        return exempt

    return decorate


@traced(names.X402_TRANSACTION, parent=lambda endpoint, request, call_view: carrier_of_request(request))
def _charge(endpoint: Endpoint, request: HttpRequest, call_view: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Quote, verify, settle, serve, finalize: one request from its headers to its answer."""
    if connection.in_atomic_block:
        raise InsideTransaction("a paid view runs in transactions of its own; remove the surrounding atomic()")
    return charging.answer(endpoint, request, functools.partial(_run_view, request, call_view))


def _run_view(
    request: HttpRequest, call_view: Callable[[], HttpResponseBase], work: Work, payment: Payment
) -> HttpResponseBase:
    context = PaidContext(
        payment_id=payment.pk,
        payer=payment.payer,
        account_id=payment.account_id,
        maximum_micro_usdc=payment.held_micro_usdc,
        price_version=payment.price_version,
        correlation_id=payment.correlation_id,
        json=work.priced.json,
        priced=work.priced,
        _work=work,
    )
    setattr(request, CONTEXT_ATTRIBUTE, context)
    response = call_view()
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        response.render()
    return response
