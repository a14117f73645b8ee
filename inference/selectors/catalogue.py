"""What can be bought now, at which price, and which price versions a quote may still name.

Naming a price reads a snapshot that is at most one second old, because an unpaid 402 must cost next to
nothing. Checking a quote of another version than today's reads the rows themselves (rule R20), so a revocation
holds within that second.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils import timezone

from inference.domain.chat import ModelLimits
from inference.domain.prices import PriceVersion
from inference.models import Model, ModelPrice
from inference.upstreams.registry import is_configured
from x402.pricing import TokenPrice

SNAPSHOT_SECONDS = 1.0  # how long a price change may take to be quoted everywhere


@dataclass(frozen=True, slots=True)
class Route:
    """Someone who answers for a model, and what they call it."""

    upstream: str
    upstream_model: str


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model with its current price and who answers for it, in the order in which they are asked."""

    limits: ModelLimits
    price: PriceVersion
    routes: tuple[Route, ...]
    capabilities: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name it is sold under."""
        return self.limits.name


class _Snapshot:
    """The offer as last read, shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._offer: dict[str, OfferedModel] = {}

    def offer(self) -> dict[str, OfferedModel]:
        """The offer by name. Concurrency: one thread reads anew while the others wait."""
        with self._lock:
            if time.monotonic() - self._read_at >= SNAPSHOT_SECONDS:
                self._offer = _read_offer()
                self._read_at = time.monotonic()
            return self._offer

    def forget(self) -> None:
        """Read anew at the next request of this process."""
        with self._lock:
            self._read_at = float("-inf")


_snapshot = _Snapshot()
forget_snapshot = _snapshot.forget


def offered_models() -> list[OfferedModel]:
    """Everything on sale, by name; models without a configured upstream or a valid price are not."""
    return sorted(_snapshot.offer().values(), key=lambda offered: offered.name)


def offered_model(name: str) -> OfferedModel | None:
    """The model sold under `name`, or None. Any text may be asked for."""
    return _snapshot.offer().get(name)


def payable_price(name: str, *, version: int) -> PriceVersion | None:
    """The prices of a version that quotes may name, read now; None when it never existed or was revoked."""
    row = ModelPrice.objects.filter(model__name=name, version=version, is_revoked=False).first()
    return None if row is None else _price_version(row)


def paid_model(name: str, *, version: int) -> OfferedModel | None:
    """A model as a payment bought it: at that version, even when it was revoked or withdrawn since.

    Today's version is in the snapshot; only a payment of an earlier one reads rows.
    """
    today = _snapshot.offer().get(name)
    if today is not None and today.price.version == version:
        return today
    rows = ModelPrice.objects.filter(model__name=name, version=version)
    row = rows.select_related("model").prefetch_related("model__routes").first()
    return None if row is None else _offered(row.model, _price_version(row))


def with_routes(model: OfferedModel, routes: Iterable[Route]) -> OfferedModel:
    """The same model, answered for by these alone."""
    return replace(model, routes=tuple(routes))


def prices_current_within(name: str, *, window: timedelta) -> list[PriceVersion]:
    """Every version that was the current one at some time in the last `window`, newest first.

    A v1 payment carries no quote, so it is accepted at any of these (rule R20).
    """
    now = timezone.now()
    rows = ModelPrice.objects.filter(model__name=name, is_revoked=False, valid_from__lte=now).order_by("-version")
    found: list[PriceVersion] = []
    for row in rows:
        found.append(_price_version(row))
        if row.valid_from <= now - window:
            break
    return found


def _read_offer() -> dict[str, OfferedModel]:
    prices: dict[int, ModelPrice] = {}
    for price in ModelPrice.objects.filter(is_revoked=False, valid_from__lte=timezone.now()).order_by("version"):
        prices[price.model_id] = price
    offered = [
        _offered(row, _price_version(prices[row.pk]))
        for row in Model.objects.filter(is_offered=True).prefetch_related("routes")
        if row.pk in prices
    ]
    return {model.name: model for model in offered if model.routes}


def _offered(row: Model, price: PriceVersion) -> OfferedModel:
    own = Route(row.upstream, row.upstream_model)
    others = [Route(route.upstream, route.upstream_model) for route in row.routes.all()]
    return OfferedModel(
        limits=ModelLimits(row.name, row.context_tokens, row.max_output_tokens),
        price=price,
        routes=tuple(route for route in (own, *others) if is_configured(route.upstream)),
        capabilities=tuple(row.capabilities),
    )


def _price_version(row: ModelPrice) -> PriceVersion:
    price = TokenPrice(row.input_micro_usd_per_million, row.output_micro_usd_per_million)
    return PriceVersion(row.version, price, row.own_key_micro_usd)
