"""What a seed decides: how large the site is, which fault happens when, and what each payer does. Pure.

The same seed gives the same timeline and the same wishes of each payer. What a payer meets is decided by processes
that run beside each other, so a run is repeated only in its plan: across processes a seed is best effort.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Shape:
    """How many processes of each kind, and how many payers."""

    web: int
    relayers: int
    workers: int
    payers: int
    threads: int = 16

    @property
    def processes(self) -> list[str]:
        """The names of all processes of the site, in the order in which they start."""
        kinds = (("web", self.web), ("relayer", self.relayers), ("worker", self.workers))
        return [*(f"{kind}-{number}" for kind, count in kinds for number in range(1, count + 1)), "beat"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. Units: seconds since the storm began, and seconds until it is put right."""

    at: float
    kind: str
    target: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind} {self.target}".rstrip() + lasting


FULL: Final = Shape(web=4, relayers=2, workers=2, payers=6)
SMALL: Final = Shape(web=2, relayers=1, workers=1, payers=3)

SHAPES: Final = {"full": FULL, "small": SMALL}
SEEDS: Final = Path(__file__).with_name("seeds")

LINKS: Final = ("web-postgres", "work-postgres", "web-redis", "work-redis", "web-chain", "work-chain", "facilitator")
ACTS: Final = ("ledger_verify", "reconcile", "dlq_retry")
TROUBLES: Final = ("delay", "cut", "half_close", "silence", "garbage")
# How often each kind is drawn, among those that may come at any time.
WEIGHTS: Final = {
    "kill": 6,
    "end": 2,
    "pause": 4,
    "clock": 2,
    "flush": 3,
    "terminate": 4,
    "trouble": 8,
    "reorg": 2,
    "staff": 2,
    "redis_full": 1,
    "pause_standby": 1,
    "pause_chain": 1,
    "pause_redis": 1,
}
# What every storm that is long enough sees once, at a share of its time that the seed moves a little.
ONCE: Final = {
    "flush": 0.12,
    "postgres_restart": 0.25,
    "redis_failover": 0.4,
    "promote": 0.55,
    "disk_full": 0.78,
    "reorg": 0.88,
}
LONG_SECONDS: Final = 40.0
PAUSE_BETWEEN_SECONDS: Final = (0.6, 2.6)
TROUBLE_SECONDS: Final = (0.5, 3.0)
CLOCK_SECONDS: Final = (-45, 45)


def timeline(seed: int, *, seconds: float, shape: Shape) -> list[Fault]:
    """Every fault of a storm, in the order of time; the last tenth of the time is left for the last to be put right."""
    draw = random.Random(f"timeline {seed}")
    until = seconds * 0.9
    faults = [Fault(round(seconds * (share + draw.uniform(-0.05, 0.05)), 2), kind) for kind, share in _once(seconds)]
    at = draw.uniform(*PAUSE_BETWEEN_SECONDS)
    while at < until:
        kind = draw.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
        faults.append(_fault(draw, kind, at=round(at, 2), shape=shape))
        at += draw.uniform(*PAUSE_BETWEEN_SECONDS)
    return sorted((_lasting(draw, fault) for fault in faults), key=lambda fault: fault.at)


def _once(seconds: float) -> list[tuple[str, float]]:
    return list(ONCE.items()) if seconds >= LONG_SECONDS else [("flush", 0.4)]


def _fault(draw: random.Random, kind: str, *, at: float, shape: Shape) -> Fault:
    target = ""
    if kind in ("kill", "end", "pause", "clock"):
        target = draw.choice(shape.processes)
    if kind == "staff":
        target = draw.choice(ACTS)
    if kind == "trouble":
        links = [*LINKS, *(f"payers-web-{number}" for number in range(1, shape.web + 1))]
        target = f"{draw.choice(links)} {draw.choice(TROUBLES)}"
    if kind == "clock":
        return Fault(at, kind, f"{target} {draw.randint(*CLOCK_SECONDS):+d}")
    return Fault(at, kind, target)


def _lasting(draw: random.Random, fault: Fault) -> Fault:
    """The same fault with an end, where it has one."""
    if fault.kind in ("pause", "trouble", "redis_full", "pause_standby", "pause_chain", "pause_redis", "disk_full"):
        return Fault(fault.at, fault.kind, fault.target, round(draw.uniform(*TROUBLE_SECONDS), 2))
    if fault.kind == "reorg":
        return Fault(fault.at, fault.kind, fault.target, round(draw.uniform(2.0, 6.0), 2))
    return fault


@dataclass(frozen=True, slots=True)
class KnownSeed:
    """A seed that once showed a defect, how long it blew, and what it showed."""

    seed: int
    seconds: float
    shape: Shape
    found: str


def known_seeds() -> list[KnownSeed]:
    """Those kept in the folder `seeds`, by their names."""
    kept = [json.loads(path.read_text()) for path in sorted(SEEDS.glob("*.json"))]
    return [KnownSeed(one["seed"], one["seconds"], SHAPES[one["shape"]], one["found"]) for one in kept]


def payers_draw(seed: int, payer: int) -> random.Random:
    """The source of one payer's wishes."""
    return random.Random(f"payer {seed} {payer}")
