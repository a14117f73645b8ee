"""Counters, gauges and histograms of the one Prometheus registry, made once however often a module is imported.

Labels are few and bounded: a value outside the known ones, a wallet, an id or a raw path would let a stranger create
series without end. `bounded` maps what comes from outside onto a known set.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

Metric = TypeVar("Metric", bound=MetricWrapperBase)
AcrossProcesses = Literal["all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum", "mostrecent"]

OTHER: Final = "other"
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZE_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

_made: dict[str, MetricWrapperBase] = {}


def counter(name: str, description: str, *, labels: Sequence[str] = ()) -> Counter:
    """The counter of that name; names end in `_total`."""
    return _once(name, Counter, lambda: Counter(name, description, labels, registry=REGISTRY))


def gauge(
    name: str, description: str, *, labels: Sequence[str] = (), across_processes: AcrossProcesses = "livemax"
) -> Gauge:
    """The gauge of that name; `across_processes` says how the values of several processes join into one."""
    return _once(
        name,
        Gauge,
        lambda: Gauge(name, description, labels, registry=REGISTRY, multiprocess_mode=across_processes),
    )


def histogram(
    name: str, description: str, *, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
) -> Histogram:
    """The histogram of that name; seconds unless it counts things."""
    return _once(name, Histogram, lambda: Histogram(name, description, labels, registry=REGISTRY, buckets=buckets))


def bounded(value: str, allowed: Collection[str]) -> str:
    """`value` if it is one of the allowed label values, else `other`.

    >>> bounded("script-src", {"script-src"}), bounded("x" * 9, {"script-src"})
    ('script-src', 'other')
    """
    return value if value in allowed else OTHER


def _once(name: str, kind: type[Metric], make: Callable[[], Metric]) -> Metric:
    made = _made.get(name)
    if made is None:
        made = _made[name] = make()
    if not isinstance(made, kind):
        raise TypeError(f"The metric {name} exists already as a {type(made).__name__}.")
    return made
