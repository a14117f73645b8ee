"""Our ledger beside django-hordak, on one Postgres that waits for the disk, interleaved: each round measures all.

django-hordak lives in an environment of its own and appends as its documentation says; ours goes through the public
Python call, with every invariant, the fence and the hash chain on.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loa_site.local import binaries, databases, wallets
from loa_site.local.stack import LocalStack
from tests.bench import figures
from tests.bench.figures import Figure
from tests.interop import environments

HOME = binaries.ROOT / ".loa" / "bench"
PEERS = Path(__file__).parent / "peers"
PEER = "django-hordak 2.0"
NAMES = {
    "one": "ledger: journals/s, 1 caller",
    "one_p99": "ledger: p99 of one append, 1 caller",
    "threads": "ledger: journals/s, 32 threads in one process",
    "two": "ledger: journals/s, two processes of 32 threads",
}
# What the peer does in it: `hold` is beside its plain random transfer, though ours also births the hold's entry.
MODES = {"random": "random", "hold": "random", "hot": "hot"}
GOALS = {  # one caller, its p99, 32 threads, two processes
    "random": (1.0, 1.0, 4.0, 6.0),
    "hold": (1.0, 1.0, 2.5, 5.0),
    "hot": (1.0, 1.0, 4.0, 6.0),
}
HORDAK_PROCESSES, OUR_THREADS = 8, 32


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float


class Child:
    """A process that answers commands line by line."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=binaries.ROOT if "-m" in command else HOME,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.log = log

    def ask(self, command: Mapping[str, Any]) -> None:
        """Send a command."""
        stream = self.process.stdin
        if stream is None:
            raise RuntimeError("the process has no input")
        stream.write(json.dumps(command) + "\n")
        stream.flush()

    def answer(self) -> dict[str, Any]:
        """Its answer. Raises RuntimeError with the end of its log when it ended instead."""
        stream = self.process.stdout
        line = stream.readline() if stream else ""
        if not line:
            raise RuntimeError(self.log.read_text()[-600:])
        document: dict[str, Any] = json.loads(line)
        return document

    def stop(self) -> None:
        """End it by ending its input."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Measure and return the figures; a peer that could not be set up is named, never passed over."""
    try:
        python = environments.prepared_python(HOME / "hordak", lock=PEERS / "hordak.lock")
    except environments.NotInstalled as error:
        return [figures.not_run(name, peer_name=PEER, why=str(error)) for name in NAMES.values()]
    with both(python) as (hordak, ours):
        taken: dict[str, list[float]] = {}
        for number in range(size.rounds):
            for mode in MODES:
                one_round(hordak, ours, mode=mode, seconds=size.seconds, taken=taken)
            say(f"ledger round {number + 1} of {size.rounds}: {latest(taken)}")
        reads = [ask_all([child], {"do": "balance", "rounds": 200})[0]["median_ms"] for child in (ours[0], hordak[0])]
    return report({name: statistics.median(values) for name, values in taken.items()}, reads=reads, size=size)


def one_round(
    hordak: Sequence[Child], ours: Sequence[Child], *, mode: str, seconds: float, taken: dict[str, list[float]]
) -> None:
    """Peer and ours, one after another, each alone on the machine's clock."""
    command = {"do": "run", "mode": mode, "seconds": seconds}
    peers_command = command | {"mode": MODES[mode]}

    def note(name: str, value: float) -> None:
        taken.setdefault(f"{name}_{mode}", []).append(value)

    [single] = ask_all(hordak[:1], peers_command)
    note("peer_one", single["count"] / seconds)
    note("peer_p99", single["p99_ms"])
    [single] = ask_all(ours[:1], command)
    note("one", single["count"] / seconds)
    note("p99", single["p99_ms"])
    note("peer_many", sum(answer["count"] for answer in ask_all(hordak, peers_command)) / seconds)
    threaded = command | {"threads": OUR_THREADS}
    note("threads", ask_all(ours[:1], threaded)[0]["count"] / seconds)
    note("two", sum(answer["count"] for answer in ask_all(ours, threaded)) / seconds)


def ask_all(children: Sequence[Child], command: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ask all at once and wait for all."""
    for child in children:
        child.ask(command)
    return [child.answer() for child in children]


def latest(taken: Mapping[str, list[float]]) -> str:
    """The last value of everything, for whoever watches."""
    return ", ".join(f"{name} {values[-1]:,.0f}" for name, values in taken.items() if "p99" not in name)


def report(medians: Mapping[str, float], *, reads: Sequence[float], size: Size) -> list[Figure]:
    """The medians, held against the goals."""
    note = f"median of {size.rounds} interleaved rounds of {size.seconds:g} s"
    made = []
    for mode in MODES:
        best = max(medians[f"peer_one_{mode}"], medians[f"peer_many_{mode}"])
        one, p99, threads, two = GOALS[mode]
        rows = [
            ("one", medians[f"one_{mode}"], medians[f"peer_one_{mode}"], figures.at_least(one), "journals/s"),
            ("one_p99", medians[f"p99_{mode}"], medians[f"peer_p99_{mode}"], figures.at_most(p99), "ms"),
            ("threads", medians[f"threads_{mode}"], best, figures.at_least(threads), "journals/s"),
            ("two", medians[f"two_{mode}"], best, figures.at_least(two), "journals/s"),
        ]
        for name, ours, peer, goal, unit in rows:
            against = PEER if name.startswith("one") else f"{PEER}, best of 1 and {HORDAK_PROCESSES} processes"
            made.append(
                figures.beside(
                    f"{NAMES[name]}, {mode}", ours, peer=peer, peer_name=against, unit=unit, goal=goal, note=note
                )
            )
    balance = figures.alone("ledger: balance of one account", reads[0], unit="ms", goal=figures.at_most(1, unit="ms"))
    return [*made, balance]


@contextmanager
def both(python: Path) -> Iterator[tuple[list[Child], list[Child]]]:
    """The peer's and our processes over one durable Postgres, with accounts made."""
    stack = LocalStack(HOME / "ledger", is_kept=True, external=frozenset({"chain"}))
    with ExitStack() as exits:
        exits.enter_context(stack)
        present = stack.postgres.databases()
        for name in ("bench_loa", "bench_hordak"):
            if name in present:
                stack.postgres.drop_database(name)
            stack.postgres.create_database(name)
        plain = {
            "PATH": os.environ["PATH"],
            "HORDAK_DATABASE_URL": stack.postgres.url("bench_hordak", role="loa_owner"),
        }
        log = HOME / "ledger.log"
        log.write_text("")
        script = [str(python), "-P", str(PEERS / "hordak_load.py")]
        hordak = [started(exits, script, plain, log) for _ in range(HORDAK_PROCESSES)]
        variables = our_variables(stack)
        databases.migrate(variables)
        ours = [started(exits, [sys.executable, "-m", "tests.bench.ledger_load"], variables, log) for _ in range(2)]
        ask_all(hordak[:1], {"do": "prepare"})
        ask_all(ours[:1], {"do": "prepare"})
        yield hordak, ours


def started(exits: ExitStack, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """A child that is ended with the context."""
    child = Child(command, environment, log)
    exits.callback(child.stop)
    return child


def our_variables(stack: LocalStack) -> dict[str, str]:
    """What our process needs: the application's role, Redis for the fence's first gate, the test settings."""
    return (
        dict(os.environ)
        | {"DJANGO_SETTINGS_MODULE": "loa_site.settings.test", "LOA_TEST_SERVICES": "1"}
        | databases.urls_of(stack.postgres, "bench_loa")
        | {
            "REDIS_URL": stack.redis.url,
            "CELERY_BROKER_URL": stack.redis.url,
            "LOA_RELAYER_PRIVATE_KEY": wallets.relayer().private_key,
            "LOA_PAY_TO": wallets.pay_to().address,
        }
    )
