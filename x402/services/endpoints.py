"""What a developer declared about a paid endpoint: its price, its words, and what a crash during its work means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from x402.pricing import PricedRequest, Quotation, parse_price


@runtime_checkable
class Price(Protocol):
    """Names the maximum a request can cost. Must give the same answer for the same request and price version (R20)."""

    def maximum(self, request: PricedRequest) -> Quotation:
        """The most this request can cost. Raises UnpriceableRequest when it cannot be sold as asked."""

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        """The same under an earlier price version; None when that version is unknown or revoked."""


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """The same price for every request. Units: MicroUSDC."""

    amount_micro_usdc: int
    description: str = ""

    def maximum(self, request: PricedRequest) -> Quotation:
        return Quotation(max_cost_micro_usdc=self.amount_micro_usdc, price_version=0, description=self.description)

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        return self.maximum(request) if price_version == 0 else None


@runtime_checkable
class Metered(Protocol):
    """What a developer writes for work whose cost is known at its end: a ceiling before it, the cost after it."""

    def maximum(self, request: PricedRequest) -> str | int | Quotation:
        """The most this request can cost: what the payer signs. Raises UnpriceableRequest."""

    def actual(self, request: HttpRequest, response: HttpResponseBase) -> str | int:
        """What it did cost; the rest becomes a credit note. Of a stream it is asked when the last part was made."""


@dataclass(frozen=True, slots=True)
class ComputedPrice:
    """A price that a function of the request names. The same request must have the same price on both legs: a payment
    made for an earlier one is refused with fresh terms, untaken. Prices that change while quotes are out are versioned
    by an object with `maximum_at` (R20)."""

    compute: Callable[[PricedRequest], object]
    source: object

    def maximum(self, request: PricedRequest) -> Quotation:
        price = self.compute(request)
        if isinstance(price, Quotation):
            return price
        return Quotation(max_cost_micro_usdc=amount_of(price, minimum=1), price_version=0)

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        current = self.maximum(request)
        return current if current.price_version == price_version else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`scheme` is the one offered first; `settle` says whether the money moves before, after or long after the work.

    `sells_credit` marks the purchase of prepaid credit, which is paid on the chain alone and mints with its settlement.
    """

    price: Price
    description: str
    mime_type: str
    on_crash: str
    atomic: bool = True
    schemes: tuple[str, ...] = ("exact",)
    settle: str = "before"
    sells_credit: bool = False


def schemes_of(scheme: str | Sequence[str]) -> tuple[str, ...]:
    """The schemes an endpoint offers, in their order; `upto` alone is followed by `exact`, which every client can pay.

    Raises ValueError for a scheme that does not exist, and for none.
    """
    named = (scheme,) if isinstance(scheme, str) else tuple(scheme)
    if not named or not set(named) <= {"exact", "upto"} or len(set(named)) < len(named):
        raise ValueError(f"scheme must be 'exact', 'upto' or both, not {scheme!r}")
    return ("upto", "exact") if named == ("upto",) else named


def settle_order_of(schemes: tuple[str, ...], settle: str | None) -> str:
    """When payments of an endpoint settle. Raises ValueError for words that do not exist or do not go together.

    Without a word each scheme settles as early as it can: `exact` before its work, `upto` after it, because only the
    work says what it costs (R12).
    """
    if settle not in (None, "before", "after", "deferred"):
        raise ValueError(f"settle must be 'before', 'after' or 'deferred', not {settle!r}")
    if "upto" in schemes and settle == "before":
        raise ValueError("scheme='upto' settles what the work cost: use settle='after' or 'deferred'")
    return settle or "before"


def price_of(price: object) -> Price:
    """The price object for what a developer wrote. Raises ValueError when it is none."""
    if isinstance(price, str) or (isinstance(price, int) and not isinstance(price, bool)):
        return FixedPrice(amount_of(price, minimum=1))
    if isinstance(price, type):
        raise ValueError(f"{price!r} is a class; write an object of it")
    if isinstance(price, Price):
        return price
    compute = getattr(price, "maximum", price)
    if callable(compute):
        return ComputedPrice(compute, source=price)
    raise ValueError(
        f"{price!r} is not a price: use '$0.01', an int of MicroUSDC, a function of the request, or an object with"
        " maximum()"
    )


def amount_of(price: object, *, minimum: int = 0) -> int:
    """MicroUSDC of "$0.01" or of an int. Raises ValueError for anything else and below the minimum."""
    if isinstance(price, str):
        return parse_price(price)
    if isinstance(price, bool) or not isinstance(price, int):
        raise ValueError(f"{price!r} is not an amount: use '$0.01' or an int of MicroUSDC")
    if price < minimum:
        raise ValueError(f"an amount is at least {minimum} MicroUSDC, not {price}")
    return price


def actual_cost_of(price: Price) -> Callable[[HttpRequest, HttpResponseBase], int] | None:
    """How a metered price tells the actual cost once the work is done, in MicroUSDC; None when the view tells it."""
    source: object = price
    while (inner := getattr(source, "source", None)) is not None:
        source = inner
    actual = getattr(source, "actual", None)
    return (lambda request, response: amount_of(actual(request, response))) if callable(actual) else None
