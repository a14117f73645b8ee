"""One storm: start everything, let payers pay while faults happen, heal, drain, and check.

The thread that runs a storm owns the world: it alone starts, kills and heals. Payers have threads of their own.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections

from loa_site.local.errors import LocalStackError
from tests.storm import attempts as memory
from tests.storm import books, chain_facts, checks
from tests.storm.attempts import Attempt
from tests.storm.checks import Evidence, Violation
from tests.storm.faults import Faults, Heal
from tests.storm.payers import BALANCE_MICRO_USDC, WALLETS, Payer, new_wallet
from tests.storm.plan import Fault, Shape, payers_draw, timeline
from tests.storm.redis_pair import client
from tests.storm.world import FLOAT_MICRO_USDC, World
from tests.x402.permit2_buyer import approve

TICK_SECONDS = 0.1
QUIET_SECONDS = 240.0
FINAL_BLOCKS = 70  # the local chain calls a block final when 64 others stand on it
FINAL_EVERY_SECONDS = 25.0
BETWEEN_SECONDS = 4.0
LOOK_SECONDS = 2.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. Units: seconds."""

    seed: int
    seconds: float
    shape: Shape
    quiet_seconds: float = QUIET_SECONDS
    answers_min: int = 10


@dataclass(slots=True)
class Outcome:
    """What came of a storm."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.violations

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "held": self.held,
            "violations": [{"invariant": one.invariant, "detail": one.detail} for one in self.violations],
            "figures": self.figures,
            "timeline": self.events,
        }


class Storm:
    """Runs one wish below a folder. `say` hears each event as it happens."""

    def __init__(self, wish: Wish, folder: Path, *, say: Say) -> None:
        self._wish = wish
        self._folder = folder
        self._say = say
        self._outcome = Outcome(wish.seed)
        self._heals: list[tuple[float, str, Heal]] = []
        self._began = 0.0
        self._looked_at = 0.0
        self._operator: threading.Thread | None = None

    def run(self) -> Outcome:
        """Everything from the first server to the last check; whatever happens, what was started is ended."""
        started = time.monotonic()
        with World(self._folder, self._wish.shape) as world:
            self._world, self._faults = world, Faults(world)
            payers = self._payers()
            self._outcome.figures["seconds to start"] = round(time.monotonic() - started, 1)
            self._blow(payers)
            self._drain(payers)
            self._judge([attempt for payer in payers for attempt in payer.attempts])
        self._outcome.figures["seconds"] = round(time.monotonic() - started, 1)
        return self._outcome

    def _note(self, text: str) -> None:
        at = time.monotonic() - self._began if self._began else 0.0
        line = f"{at:7.2f} s  {text}"
        self._outcome.events.append(line)
        self._say(line)

    def _payers(self) -> list[Payer]:
        """Payers with money and with a permission for Permit2, before anything goes wrong."""
        payers = []
        for number in range(1, self._wish.shape.payers + 1):
            draw = payers_draw(self._wish.seed, number)
            payers.append(Payer(number, self._world, draw, [new_wallet(draw) for _ in range(WALLETS)]))
        for payer in payers:
            for wallet in payer.wallets:
                self._world.chain.mint(wallet.buyer.address, BALANCE_MICRO_USDC)
                approve(self._world.chain, wallet.buyer)
        self._world.chain.mine(2)
        return payers

    def _blow(self, payers: list[Payer]) -> None:
        """The storm itself: faults by the timeline, payers beside it."""
        is_over = threading.Event()
        threads = [threading.Thread(target=_at_work, args=(payer, is_over), daemon=True) for payer in payers]
        self._began = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            for fault in timeline(self._wish.seed, seconds=self._wish.seconds, shape=self._wish.shape):
                self._pass_time(fault.at)
                self._let_happen(fault)
            self._pass_time(self._wish.seconds)
            self._heal_all()
            self._wait_for_answers(payers)
        finally:
            is_over.set()
        for thread in threads:
            while thread.is_alive():
                self._tick()
                thread.join(TICK_SECONDS)

    def _wait_for_answers(self, payers: list[Payer]) -> None:
        """A machine that is busy with other things serves little in a minute: then payers go on in the calm."""
        deadline = time.monotonic() + self._wish.quiet_seconds / 2
        while time.monotonic() < deadline:
            answered = sum(bool(attempt.good) for payer in payers for attempt in list(payer.attempts))
            if answered >= self._wish.answers_min:
                return
            self._pass_time(time.monotonic() - self._began + 1.0)

    def _pass_time(self, until: float) -> None:
        while time.monotonic() - self._began < until:
            self._tick()
            time.sleep(TICK_SECONDS)

    def _tick(self) -> None:
        """What goes on beside everything: restarts, ends of faults, and what an operator does."""
        self._world.keeper.watch()
        now = time.monotonic() - self._began
        for entry in sorted((one for one in self._heals if one[0] <= now), key=lambda one: one[0]):
            self._heals.remove(entry)
            self._heal(entry)
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._faults.follow_sentinel()
            if self._world.is_in_recovery():
                self._call_operator()

    def _let_happen(self, fault: Fault) -> None:
        self._note(str(fault))
        try:
            heal = self._faults.apply(fault)
        except (OSError, LocalStackError, psycopg.Error, RuntimeError, StopIteration) as error:
            self._note(f"{fault.kind} could not be done: {type(error).__name__} {error}"[:160])
            return
        if heal is not None:
            self._heals.append((time.monotonic() - self._began + max(fault.seconds, 1.0), fault.kind, heal))

    def _heal(self, entry: tuple[float, str, Heal]) -> None:
        _, kind, heal = entry
        try:
            heal()
            self._note(f"{kind} is over")
        except (OSError, LocalStackError, psycopg.Error, RuntimeError, AssertionError) as error:
            self._note(f"{kind} could not be put right: {type(error).__name__} {error}"[:160])

    def _call_operator(self) -> None:
        """Somebody looks at it, unless somebody does already; meanwhile the storm goes on."""
        if self._operator is None or not self._operator.is_alive():
            self._operator = threading.Thread(target=self._end_recovery, daemon=True)
            self._operator.start()

    def _end_recovery(self) -> None:
        """What the runbook tells an operator to do when money stands still."""
        said = self._world.manage("recovery_end", "--by", "storm", "--reason", "the standby is the server now")
        if said.get("ended"):
            self._faults.counts["recoveries ended"] += 1
        self._note(f"recovery_end: {said.get('ended') or said.get('obstacles') or said.get('error')}"[:300])

    def _heal_all(self) -> None:
        """Put everything right that is still wrong."""
        self._note("heal")
        for entry in sorted(self._heals, key=lambda one: one[0]):
            self._heal(entry)
        self._heals.clear()
        for link in self._world.links.values():
            link.mend()
        for name, kept in self._world.keeper.kept.items():
            if "STORM_CLOCK" in (kept.command.environment or {}):
                self._world.keeper.replace(name, STORM_CLOCK="0")

    def _drain(self, payers: list[Payer]) -> None:
        """Until every payer has an answer, and nothing has a way to go any more."""
        heard_by = time.monotonic() + self._wish.quiet_seconds / 2
        threads = [threading.Thread(target=_finish, args=(payer, heard_by), daemon=True) for payer in payers]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                self._tick()
                thread.join(TICK_SECONDS)
        self._note("every payer has been heard")
        self._world.manage(
            "reconcile"
        )  # as the clock does every ten minutes: what the chain took back is offered again
        unfinished = self._come_to_rest(time.monotonic() + self._wish.quiet_seconds)
        ready = self._world.readiness()
        queued = self._queued()
        self._outcome.figures["seconds to rest"] = round(time.monotonic() - self._began - self._wish.seconds, 1)
        found = [Violation("everything_comes_to_rest", one) for one in unfinished[: checks.NAMED_MAX]]
        asleep = {name: said for name, said in ready.items() if said != (200, "ready")}
        found += [Violation("every_process_is_ready", f"{name}: {said}") for name, said in asleep.items()]
        found += [Violation("queues_are_empty", f"{name}: {count}") for name, count in queued.items() if count > 20]
        self._outcome.violations += found

    def _come_to_rest(self, deadline: float) -> list[str]:
        """What still has a way to go when the time is over; blocks are mined so that what happened becomes final.

        The payers have been heard, so what is settled and nobody fetched is a day old as soon as it is seen.
        """
        mined_at, unfinished = 0.0, ["never looked"]
        while unfinished and time.monotonic() < deadline:
            self._tick()
            if time.monotonic() - mined_at > FINAL_EVERY_SECONDS:
                mined_at = time.monotonic()
                self._world.chain.mine(FINAL_BLOCKS)
            time.sleep(1.0)
            with suppress(psycopg.Error):
                books.let_a_day_pass(self._world.database_url)
                unfinished = books.read(self._world.database_url).unfinished
        return unfinished

    def _reconcile(self) -> dict[str, Any]:
        """What the site's own comparison says, once it no longer waits for a block or for an authorization to die."""
        deadline = time.monotonic() + self._wish.quiet_seconds
        while True:
            said = self._world.manage("reconcile")
            waits = any(one.get("outcome") == "waiting" for one in said.get("differences", []))
            if not waits or time.monotonic() > deadline:
                return said
            self._world.chain.mine(FINAL_BLOCKS)
            self._pass_time(time.monotonic() - self._began + BETWEEN_SECONDS)

    def _queued(self) -> dict[str, int]:
        """How many messages wait in each queue of the broker."""
        server = client(self._world.redis.writable_port())
        names = [name.decode() for name in server.keys("*") if name.split(b"\x06")[0] in (b"settlement", b"default")]
        return {name: int(server.llen(name)) for name in names}

    def _judge(self, attempts: list[Attempt]) -> None:
        self._note("check")
        for command in (*self._faults.staff, *([self._operator] if self._operator else [])):
            command.join()
        reconciled = self._reconcile()
        verified = self._world.manage("ledger_verify")
        runs = Counter(tuple(line.split(" ", 1)) for line in self._world.runs.read_text().splitlines())
        evidence = Evidence(
            books=books.read(self._world.database_url),
            chain=chain_facts.read(self._world),
            attempts=attempts,
            runs=Counter({(what, payment_id): count for (what, payment_id), count in runs.items()}),
            float_at_first=FLOAT_MICRO_USDC,
            verified=verified,
            reconciled=reconciled,
        )
        in_storm = [Violation("ledger_is_proved", f"in the storm: {one}") for one in self._faults.disproved]
        self._outcome.violations = in_storm + checks.violations(evidence) + self._outcome.violations
        payments = evidence.books["payments"]
        ways = Counter(f"{one['scheme']} {one['method']} {one['settle_order']}" for one in payments)
        self._outcome.figures |= {
            "payments": len(payments),
            "by state": dict(sorted(Counter(one["state"] for one in payments).items())),
            "by way": dict(sorted(ways.items())),
            "transfers": len(evidence.chain.inflows),
            "treasury MicroUSDC": evidence.chain.treasury,
            "refunds paid": len(evidence.chain.outflows),
            "journals": evidence.books["journals"][0]["count"],
            "answers": memory.answers_of(attempts),
            "requests": sum(len(one.seen) for one in attempts),
            "unanswered": sum(1 for one in attempts for seen in one.seen if seen.status == 0),
            "faults": dict(sorted(self._faults.counts.items())),
            "restarts": dict(sorted(self._world.keeper.restarts.items())),
            "left out": sorted(set(self._faults.notes)),
        }


def _at_work(payer: Payer, is_over: threading.Event) -> None:
    try:
        payer.run(is_over)
    finally:
        connections.close_all()


def _finish(payer: Payer, deadline: float) -> None:
    payer.finish(deadline=deadline)
