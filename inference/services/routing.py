"""Whom to ask for an answer: the upstreams of a model in their order, past those that fail or have been failing.

Each upstream has a circuit breaker that all processes share: three failures within a minute and it is not asked for
half a minute. A request that an upstream declines is declined for good, because another would cost the same and say
the same; one that an upstream cannot place (our key, its name for the model) goes on to the next.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from inference.domain.errors import UpstreamError, UpstreamGarbage, UpstreamMisconfigured, UpstreamUnavailable
from inference.selectors.catalogue import OfferedModel, Route
from outbound.breaker_state import Breaker, CircuitOpen
from telemetry import names

log = structlog.get_logger(__name__)

Made = TypeVar("Made")

_breakers: dict[str, Breaker] = {}
_lock = threading.Lock()


def breaker_of(upstream: str) -> Breaker:
    """The circuit of an upstream, by its configured name."""
    with _lock:
        if upstream not in _breakers:
            _breakers[upstream] = Breaker(f"upstream_{upstream}")
        return _breakers[upstream]


def first_answer(model: OfferedModel, ask: Callable[[Route], Made], *, counts: bool = True) -> tuple[Route, Made]:
    """What the first upstream that can answer makes of it, and which it was.

    Nothing of an earlier upstream's answer is kept: `ask` returns only when there is something to give. With `counts`
    false the circuits are left alone, as for a buyer's own key, whose failures say nothing of the upstream.
    Raises UpstreamError: the last upstream's, or UpstreamUnavailable when there is none to ask.
    """
    failure: UpstreamError = UpstreamUnavailable(model.name, "no upstream answers for this model now")
    for route in model.routes:
        try:
            return route, _guarded(route, ask) if counts else ask(route)
        except CircuitOpen:
            failure = UpstreamUnavailable(route.upstream, "has been failing and is not asked now")
        except (UpstreamUnavailable, UpstreamGarbage, UpstreamMisconfigured) as error:
            failure = error
        log.warning(names.UPSTREAM_FAILED, upstream=route.upstream, code=failure.code, reason=failure.reason)
    raise failure


def _guarded(route: Route, ask: Callable[[Route], Made]) -> Made:
    with breaker_of(route.upstream).guard(UpstreamUnavailable, UpstreamGarbage, UpstreamMisconfigured):
        return ask(route)
