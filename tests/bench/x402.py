"""Paid requests beside the official FastAPI middleware with the official Python facilitator.

Every repetition starts both stacks on a fresh chain: an aged one answers receipts more slowly. The load is signed
before the clock starts. Ours does more for each payment (metered price, ledger, stored answer); nothing is left out.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loa_site.local import binaries, ports, process, wallets
from loa_site.local.chain import CHAIN_ID, Chain
from tests.bench import figures, load, verification_cpu
from tests.bench.figures import Figure
from tests.interop import environments
from tests.interop.running_site import SiteDidNotStart, running_site

HOME = binaries.ROOT / ".loa" / "bench"
PEERS = Path(__file__).parent / "peers"
PEER = "official FastAPI middleware + official Python facilitator (x402 2.25)"
IDLE_SHARE, IDLE_PATIENCE_SECONDS = 0.15, 30
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
NAMES = {
    "latency": "x402: median latency, 1 wallet, first 100 payments, instant mining",
    "wallets": "x402: paid requests/s, 8 wallets, instant mining",
    "in_flight": "x402: paid requests/s, 32 in flight, 2-second blocks",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: repetitions and the seconds of each window."""

    repetitions: int
    instant_seconds: float
    paced_seconds: float
    unpaid_seconds: float


@dataclass(slots=True)
class Measured:
    """The values of every repetition, by figure."""

    ours: dict[str, list[float]] = field(default_factory=dict)
    peer: dict[str, list[float]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def add(self, side: dict[str, list[float]], name: str, value: float) -> None:
        side.setdefault(name, []).append(value)


def run(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Measure and return the figures; a peer that could not be set up is named, never passed over."""
    try:
        python = environments.prepared_python(HOME / "x402", lock=PEERS / "x402.lock")
    except environments.NotInstalled as error:
        return [figures.not_run(name, peer_name=PEER, why=str(error)) for name in NAMES.values()]
    measured = Measured()
    try:
        for number in range(size.repetitions):
            say(f"x402 repetition {number + 1} of {size.repetitions}")
            with official_stack(python) as base_url:
                instant(base_url, size, lambda name, value: measured.add(measured.peer, name, value), say)
            with running_site(HOME / "site", fresh=True) as run_facts:
                wait_until_idle(run_facts)
                instant(run_facts["base_url"], size, lambda name, value: measured.add(measured.ours, name, value), say)
                measured.add(measured.ours, "unpaid", unpaid_per_core(run_facts, seconds=size.unpaid_seconds))
            with official_stack(python, block_seconds=2) as base_url:
                paced(base_url, size, lambda name, value: measured.add(measured.peer, name, value), say)
            with running_site(HOME / "site", fresh=True, variables={"BLOCK_SECONDS": "2"}) as run_facts:
                wait_until_idle(run_facts)
                paced(run_facts["base_url"], size, lambda name, value: measured.add(measured.ours, name, value), say)
    except (SiteDidNotStart, PeerDidNotStart, NothingAnswered) as error:
        return [figures.not_run(name, peer_name=PEER, why=str(error)[-400:]) for name in NAMES.values()]
    return report(measured)


def instant(base_url: str, size: Size, add: Callable[[str, float], None], say: Callable[[str], None]) -> None:
    """One wallet's first hundred payments, then eight wallets at once."""
    keys = [payer.private_key for payer in wallets.payers()]
    first = load.paid_window(base_url, [load.presigned(base_url, keys[0], count=100)], seconds=60)
    require_answers(first, base_url)
    add("latency", first.median_ms)
    eight = [load.presigned(base_url, key, count=int(60 * size.instant_seconds / 8) + 1) for key in keys[:8]]
    all_wallets = load.paid_window(base_url, eight, seconds=size.instant_seconds)
    add("wallets", all_wallets.per_second)
    say(
        f"  {base_url}: {first.median_ms:.1f} ms, {all_wallets.per_second:.1f}/s,"
        f" refused {first.refused + all_wallets.refused}"
    )


def paced(base_url: str, size: Size, add: Callable[[str, float], None], say: Callable[[str], None]) -> None:
    """Thirty-two payments in flight at all times, over blocks of two seconds."""
    keys = [payer.private_key for payer in wallets.payers()]
    callers = [load.presigned(base_url, keys[number % len(keys)], count=40) for number in range(32)]
    flow = load.paid_window(base_url, callers, seconds=size.paced_seconds)
    require_answers(flow, base_url)
    add("in_flight", flow.per_second)
    say(f"  {base_url}: {flow.per_second:.2f}/s, median {flow.median_ms:.0f} ms, refused {flow.refused}")


def report(measured: Measured) -> list[Figure]:
    """The medians, held against the goals."""
    ours = {name: statistics.median(values) for name, values in measured.ours.items()}
    peer = {name: statistics.median(values) for name, values in measured.peer.items()}
    repetitions = len(measured.ours["latency"])
    note = f"median of {repetitions}" if repetitions > 1 else "one repetition"
    goals = {"latency": figures.at_most(1.2), "wallets": figures.at_least(2), "in_flight": figures.at_least(8)}
    units = {"latency": "ms", "wallets": "payments/s", "in_flight": "payments/s"}
    compared = [
        figures.beside(
            title, ours[name], peer=peer[name], peer_name=PEER, unit=units[name], goal=goals[name], note=note
        )
        for name, title in NAMES.items()
    ]
    return [
        *compared,
        figures.alone(
            "x402: verification CPU, header to signer",
            verification_cpu.microseconds(),
            unit="µs",
            goal=figures.at_most(80, unit="µs"),
        ),
        figures.alone(
            "x402: unpaid 402 answers per second and core",
            ours["unpaid"],
            unit="answers/s per core",
            goal=figures.at_least(1000, unit="per core"),
            note=f"{note}; per second of processor time the web processes used",
        ),
    ]


def unpaid_per_core(run_facts: dict[str, Any], *, seconds: float) -> float:
    """Unpaid answers per second of processor time of the web processes and their children."""
    web = family_of(run_facts["pids"]["web"])
    before = sum(map(cpu_seconds, web))
    answered = load.unpaid_window(run_facts["base_url"], callers=8, seconds=seconds)
    return answered / max(sum(map(cpu_seconds, web)) - before, 0.01)


def wait_until_idle(run_facts: dict[str, Any]) -> None:
    """Return when workers and beat have started too: their start-up is no part of what a payment costs."""
    members = [member for pid in run_facts["pids"].values() for member in family_of(pid)]
    for _ in range(IDLE_PATIENCE_SECONDS):
        before = sum(map(cpu_seconds, members))
        time.sleep(1)
        if sum(map(cpu_seconds, members)) - before < IDLE_SHARE:
            return


def family_of(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family_of(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


class NothingAnswered(Exception):
    """Raised when a server answered no payment at all: then there is no figure, for either side."""


def require_answers(window: load.Load, base_url: str) -> None:
    """Raise NothingAnswered when no payment was answered."""
    if not window.latencies:
        raise NothingAnswered(f"{base_url} answered none of its payments and refused {window.refused}")


class PeerDidNotStart(Exception):
    """Raised when a program of the peer ends or stays silent; the message is the end of its log."""


@contextmanager
def official_stack(python: Path, *, block_seconds: int | None = None) -> Iterator[str]:
    """A fresh chain, the official facilitator, the official server; yields the server's URL."""
    folder = HOME / "official"
    chain = Chain(folder / "chain", ports.free_port(), block_seconds=block_seconds)
    facilitator_port, server_port = ports.free_port(), ports.free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "NETWORK": f"eip155:{CHAIN_ID}",
        "RPC_URL": chain.url,
        "RELAYER_PRIVATE_KEY": wallets.relayer().private_key,
        "PAY_TO": wallets.pay_to().address,
        "FACILITATOR_URL": f"http://{ports.HOST}:{facilitator_port}",
    }
    children: list[subprocess.Popen[bytes]] = []
    try:
        chain.start()
        for script, port in (("official_facilitator.py", facilitator_port), ("official_server.py", server_port)):
            children.append(start(python, PEERS / script, port=port, environment=environment, folder=folder))
        yield f"http://{ports.HOST}:{server_port}"
    finally:
        for child in reversed(children):
            end(child)
        chain.stop()


def end(child: subprocess.Popen[bytes]) -> None:
    """End a program; one that waits for payments still under way is not waited for."""
    child.terminate()
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def start(
    python: Path, script: Path, *, port: int, environment: dict[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    """Start one program of the peer and wait until it listens. Raises PeerDidNotStart."""
    log = folder / f"{script.stem}.log"
    with log.open("w") as output:
        child = subprocess.Popen(
            [str(python), "-P", str(script), str(port)], env=environment, cwd=folder, stdout=output, stderr=output
        )
    deadline = time.monotonic() + 40
    while not ports.is_open(port):
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            raise PeerDidNotStart(process.last_lines(log))
        time.sleep(0.05)
    return child
