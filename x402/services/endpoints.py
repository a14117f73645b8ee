"""What a developer declared about a paid endpoint: its price, its words, and what a crash during its work means."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`scheme` is the one offered first; `settle` says whether the money moves before, after or long after the work."""

    price: Price
    description: str
    mime_type: str
    on_crash: str
    atomic: bool = True
    scheme: str = "exact"
    settle: str = "before"


def settle_order_of(scheme: str, settle: str | None) -> str:
    """When payments of an endpoint settle. Raises ValueError for words that do not exist or do not go together.

    The cost of an `upto` call is known only after its work, so it never settles before (R12).
    """
    if scheme not in ("exact", "upto"):
        raise ValueError(f"scheme must be 'exact' or 'upto', not {scheme!r}")
    chosen = settle or ("after" if scheme == "upto" else "before")
    if chosen not in ("before", "after", "deferred"):
        raise ValueError(f"settle must be 'before', 'after' or 'deferred', not {settle!r}")
    if scheme == "upto" and chosen == "before":
        raise ValueError("scheme='upto' settles what the work cost: use settle='after' or 'deferred'")
    return chosen


def price_of(price: object) -> Price:
    """The price object for what a developer wrote. Raises ValueError when it is none."""
    if isinstance(price, str):
        price = parse_price(price)
    if isinstance(price, int) and not isinstance(price, bool):
        if price <= 0:
            raise ValueError("a price is at least one MicroUSDC")
        return FixedPrice(price)
    if isinstance(price, Price):
        return price
    raise ValueError(f"{price!r} is not a price: use '$0.01', an int of MicroUSDC, or an object with maximum()")
