"""A discrete-event simulation of the documented topology, with service times measured on real nodes.

One paid request goes through: a web process (its interpreter is one server), Redis, the database's cores for what is
its own, then the append. Appends follow the ledger's rule: each process has one batch in flight, the next takes all
that waits, up to a limit; a batch costs the database a fixed part and a part for each journal, and ends with a write
to disk that no core is busy with. A share of the requests settles on a chain: a relayer's key carries so many
transfers in each block. Nothing here is random but the arrivals, whose seed is fixed.

The model leaves out: the network between nodes (constant, no queue), worker nodes (nobody waits for them), and garbage
collection. It is judged against the measurement it takes its figures from (`against`).
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

BATCH_MAX: Final = 200
SATURATED: Final = 0.85  # of a station: beyond it waiting grows faster than load
PUSH: Final = 1.15  # over what a topology keeps up with, so that its bottleneck shows and the rest does not pile up


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """Seconds of one paid request at each station, as measured."""

    web: float
    redis: float
    database: float
    append_fixed: float
    append_journal: float
    flush: float


@dataclass(frozen=True, slots=True)
class Topology:
    """How much of everything there is. `shards` are databases that share the accounts between them."""

    web_nodes: int = 1
    processes_a_node: int = 2
    database_cores: int = 4
    shards: int = 1
    redis_nodes: int = 1
    relayer_keys: int = 1
    chain_share: float = 0.1
    transfers_a_block: int = 200
    block_seconds: float = 2.0


@dataclass(slots=True)
class Station:
    """Servers in front of which one queue forms; `busy` adds up the servers' seconds."""

    servers: int
    waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    free: int = 0
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.free = self.servers

    @property
    def load(self) -> int:
        return self.servers - self.free + len(self.waiting)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated load came to: latencies in seconds, and how busy each station was, from 0 to 1."""

    offered: float
    completed: float
    p50: float
    p99: float
    utilisation: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """The station that is busiest."""
        return max(self.utilisation, key=lambda name: self.utilisation[name])

    @property
    def keeps_up(self) -> bool:
        """Whether everything that came was done, and no station is so busy that waiting runs away."""
        return self.completed >= 0.95 * self.offered and self.utilisation[self.bottleneck] <= SATURATED


class Simulation:
    """One run. Requests arrive as a Poisson stream; what is done in the first third is not counted."""

    def __init__(self, times: ServiceTimes, topology: Topology, *, seed: int = 8402) -> None:
        self.times, self.topology = times, topology
        self._dice = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.now = 0.0
        processes = topology.web_nodes * topology.processes_a_node
        self._web = [Station(1) for _ in range(processes)]
        self._redis = [Station(1) for _ in range(topology.redis_nodes)]
        self._database = [Station(topology.database_cores) for _ in range(topology.shards)]
        self._batches: list[list[Callable[[], None]]] = [[] for _ in range(processes)]
        self._in_flight = [False] * processes
        self._transfers: deque[Callable[[], None]] = deque()
        self._transfers_done = 0
        self._latencies: list[float] = []

    def run(self, *, per_second: float, seconds: float) -> Outcome:
        """Offer so many requests a second for so long."""
        warm_up, at = seconds / 3, 0.0  # a block or two, so that as many come out as go in
        while (at := at + self._dice.expovariate(per_second)) < seconds:
            self._at(at, self._arrive)
        if self.topology.chain_share:
            self._at(self.topology.block_seconds, lambda: self._block(seconds))
        self._warm_up, counted = warm_up, seconds - warm_up
        while self._events and self._events[0][0] <= seconds:
            self.now, _, step = heapq.heappop(self._events)
            step()
        ordered = sorted(self._latencies) or [float("inf")]
        return Outcome(
            per_second,
            len(self._latencies) / counted,
            ordered[len(ordered) // 2],
            ordered[int(len(ordered) * 0.99)],
            self._utilisation(seconds),
        )

    def _utilisation(self, seconds: float) -> dict[str, float]:
        groups = {"web": self._web, "redis": self._redis, "database": self._database}
        shares = {
            name: sum(one.busy for one in group) / (sum(one.servers for one in group) * seconds)
            for name, group in groups.items()
        }
        blocks = int(seconds / self.topology.block_seconds)
        room = max(1, blocks * self.topology.relayer_keys * self.topology.transfers_a_block)
        return shares | {"relayer": (self._transfers_done + len(self._transfers)) / room}

    def _arrive(self) -> None:
        began = self.now
        process = min(range(len(self._web)), key=lambda number: self._web[number].load)
        shard = self._dice.randrange(len(self._database))

        def done() -> None:
            if self.now >= self._warm_up:
                self._latencies.append(self.now - began)

        def settled() -> None:
            self._join_batch(process, shard, done)

        def asked() -> None:
            if self._dice.random() < self.topology.chain_share:
                self._transfers.append(settled)
            else:
                settled()

        def at_database() -> None:
            self._serve(self._database[shard], self.times.database, asked)

        def at_redis() -> None:
            node = self._redis[self._dice.randrange(len(self._redis))]
            self._serve(node, self.times.redis, at_database)

        self._serve(self._web[process], self.times.web, at_redis)

    def _join_batch(self, process: int, shard: int, done: Callable[[], None]) -> None:
        self._batches[process].append(done)
        if not self._in_flight[process]:
            self._write_batch(process, shard)

    def _write_batch(self, process: int, shard: int) -> None:
        taken = self._batches[process][:BATCH_MAX]
        self._batches[process] = self._batches[process][BATCH_MAX:]
        self._in_flight[process] = True

        def flushed() -> None:
            self._in_flight[process] = False
            for done in taken:
                done()
            if self._batches[process]:
                self._write_batch(process, shard)

        cost = self.times.append_fixed + self.times.append_journal * len(taken)
        self._serve(self._database[shard], cost, lambda: self._at(self.now + self.times.flush, flushed))

    def _block(self, until: float) -> None:
        room = self.topology.relayer_keys * self.topology.transfers_a_block
        for _ in range(min(room, len(self._transfers))):
            self._transfers.popleft()()
            self._transfers_done += 1
        if self.now < until:
            self._at(self.now + self.topology.block_seconds, lambda: self._block(until))

    def _serve(self, station: Station, seconds: float, then: Callable[[], None]) -> None:
        if station.free:
            self._begin(station, seconds, then)
        else:
            station.waiting.append((seconds, then))

    def _begin(self, station: Station, seconds: float, then: Callable[[], None]) -> None:
        station.free -= 1
        station.busy += seconds

        def ended() -> None:
            station.free += 1
            if station.waiting:
                self._begin(station, *station.waiting.popleft())
            then()

        self._at(self.now + seconds, ended)

    def _at(self, moment: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), step))


def simulate(times: ServiceTimes, topology: Topology, *, per_second: float, seconds: float = 6.0) -> Outcome:
    """One load on one topology. Long enough for three blocks."""
    return Simulation(times, topology).run(per_second=per_second, seconds=seconds)


def capacity(times: ServiceTimes, topology: Topology, *, seconds: float = 6.0) -> float:
    """The highest of a series of loads, each a tenth more than the last, that the topology keeps up with."""
    guess = _bound(times, topology)
    for step in range(12):
        offered = guess * (1 - step / 12)
        if simulate(times, topology, per_second=offered, seconds=seconds).keeps_up:
            return offered
    return 0.0


def _bound(times: ServiceTimes, topology: Topology) -> float:
    """What no queue could pass: the least of the stations' own capacities."""
    database = times.database + times.append_journal
    bounds = [
        topology.web_nodes * topology.processes_a_node / times.web,
        topology.redis_nodes / times.redis,
        topology.shards * topology.database_cores / database,
    ]
    if topology.chain_share:
        room = topology.relayer_keys * topology.transfers_a_block / topology.block_seconds
        bounds.append(room / topology.chain_share)
    return SATURATED * min(bounds)


@dataclass(frozen=True, slots=True)
class Lift:
    """What was done about a bottleneck: the change, and the engine that makes it possible."""

    station: str
    engine: str
    topology: Topology


DATABASE_CORES_MAX: Final = 96  # the largest single writers that managed Postgres is sold with
WEB_NODES_MAX: Final = 64


def lifted(topology: Topology, station: str) -> Lift:
    """The next larger topology, past the station that was the bottleneck."""
    if station == "web":
        nodes = min(WEB_NODES_MAX, topology.web_nodes * 2)
        if nodes == topology.web_nodes:
            processes = topology.processes_a_node * 2
            return Lift(station, "larger nodes", replace(topology, processes_a_node=processes))
        return Lift(station, "more web nodes behind the balancer", replace(topology, web_nodes=nodes))
    if station == "redis":
        grown = replace(topology, redis_nodes=topology.redis_nodes + 1)
        return Lift(station, "Redis Cluster with a tag for each subject (one tag keeps all keys on one node)", grown)
    if station == "relayer":
        grown = replace(topology, relayer_keys=topology.relayer_keys * 2)
        return Lift(station, "more relayer keys and networks, drained by Celery workers", grown)
    cores = topology.database_cores * 2
    if cores <= DATABASE_CORES_MAX:
        return Lift(station, "Aurora: a larger writer", replace(topology, database_cores=cores))
    return Lift(station, "Citus: accounts shared between databases", replace(topology, shards=topology.shards * 2))


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: the topology, what was offered and came of it, and what lifts its bottleneck."""

    topology: Topology
    outcome: Outcome
    lift: str


def ladder(times: ServiceTimes, start: Topology, *, target: float, seconds: float = 6.0) -> list[Step]:
    """Every topology on the way to a target rate: each fails at one station, which the next one lifts."""
    steps: list[Step] = []
    topology = start
    for _ in range(40):
        offered = min(target, _bound(times, topology) * PUSH)
        outcome = simulate(times, topology, per_second=offered, seconds=seconds)
        reached = outcome.offered >= target and outcome.keeps_up
        lift = lifted(topology, outcome.bottleneck)
        steps.append(Step(topology, outcome, "" if reached else lift.engine))
        if reached:
            return steps
        topology = lift.topology
    return steps


def against(times: ServiceTimes, topology: Topology, *, measured_per_second: float) -> float:
    """The model's capacity beside what was measured with the same topology, as a ratio."""
    return capacity(times, topology) / measured_per_second
