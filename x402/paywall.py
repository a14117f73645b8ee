"""The gate: charge for a Django view.

    @requires_payment(price="$0.01", description="Tomorrow's weather")
    def forecast(request): ...

An unpaid request gets 402 with signed terms and writes nothing. A paid one is verified, settled, served and booked, in
this order, and the answer leaves only after `served` is committed (R6). A payer's retry gets the stored answer for
nothing. Inside the view `request.x402` names the payer and takes the actual cost: `request.x402.charge(micro_usdc)`.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from x402.gate import InsideTransaction, PaidContext, View, charge, charge_async
from x402.services.endpoints import Endpoint, price_of, schemes_of, settle_order_of
from x402.services.quotes import ENDPOINT_ATTRIBUTE
from x402.views import PaidView, is_rest_view, paid_rest_view, plain_request

__all__ = ["InsideTransaction", "PaidContext", "PaidView", "requires_payment"]


def requires_payment(
    *,
    price: object,
    description: str = "",
    mime_type: str = "application/json",
    scheme: str | Sequence[str] = "exact",
    settle: str | None = None,
    on_crash: str = "credit",
    atomic: bool | None = None,
) -> Callable[[View], View]:
    """Charge for this view.

    Works on Django views, synchronous and asynchronous, and on REST framework's views: its classes, and functions under
    `@api_view`, whose authentication and permissions are then asked before the price is named.
    `price` is a string such as "$0.01", an int of MicroUSDC, a function of the request that gives one of these, or an
    object with `maximum(PricedRequest)`, and with `actual(request, response)` where the cost is known only afterwards.
    `scheme="upto"` charges what the work cost, up to the price, and offers `exact` beside it; ("exact", "upto") offers
    both in the other order. `settle` says when the money moves: "before" the work, "after" it and before its answer
    leaves, or "deferred": answered at once and settled later, within the limits for wallets. Without it each scheme
    settles as early as it can: `exact` before the work, `upto` after it.
    `on_crash` says what a crash during the work means: "credit" gives the money back, "rerun" runs the view once more.
    `atomic=False` runs the view outside a transaction of its own, for work that waits for others, so that it holds no
    database connection meanwhile; an asynchronous view never has one.
    Raises ValueError for a price, order or crash rule that does not exist.
    """
    if on_crash not in ("credit", "rerun"):
        raise ValueError(f"on_crash must be 'credit' or 'rerun', not {on_crash!r}")
    endpoint = Endpoint(
        price=price_of(price),
        description=description,
        mime_type=mime_type,
        on_crash=on_crash,
        atomic=atomic is not False,
        schemes=schemes_of(scheme),
        settle=settle_order_of(schemes_of(scheme), settle),
    )

    def decorate(view: View) -> View:
        if is_rest_view(view):
            return paid_rest_view(endpoint, view)
        if iscoroutinefunction(view):
            if atomic:
                raise ValueError("an asynchronous view has no transaction of its own: leave atomic out")
            return _gated(_asynchronous(dataclasses.replace(endpoint, atomic=False), view), endpoint)
        return _gated(_synchronous(endpoint, view), endpoint)

    return decorate


def _synchronous(endpoint: Endpoint, view: View) -> View:
    @functools.wraps(view)
    def paid(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return charge(endpoint, plain_request(request), functools.partial(view, request, *args, **kwargs))

    return paid


def _asynchronous(endpoint: Endpoint, view: View) -> View:
    @functools.wraps(view)
    async def paid(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return await charge_async(endpoint, request, functools.partial(view, request, *args, **kwargs))

    return paid


def _gated(paid: View, endpoint: Endpoint) -> View:
    """Payments prove themselves, so no CSRF token is asked for; and they need transactions of their own (R7)."""
    setattr(paid, ENDPOINT_ATTRIBUTE, endpoint)
    exempt: View = csrf_exempt(transaction.non_atomic_requests(paid))
    return exempt
