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
from tests.bench import figures, load, settled, verification_cpu
from tests.bench.figures import Figure
from tests.interop import environments
from tests.interop.running_site import SiteDidNotStart, running_site

HOME = binaries.ROOT / ".loa" / "bench"
PEERS = Path(__file__).parent / "peers"
PEER = "official FastAPI middleware + official Python facilitator (x402 2.25)"
IDLE_SHARE, IDLE_PATIENCE_SECONDS = 0.15, 30
PEER_START_SECONDS = 150
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
WALLETS = 32
IN_FLIGHT = 256  # what a server must have on its way at once to fill blocks that come every two seconds
BLOCK_SECONDS = 2
ONE_AFTER_ANOTHER = 100
NAMES = {
    "latency": "x402: median latency, 1 wallet, first 100 payments, instant mining",
    "wallets": "x402: paid requests/s, 32 wallets, instant mining",
    "per_block": "x402: payments settled per 2-second block, 256 in flight",
    "refused": "x402: payments that failed, 2-second blocks",
    "gas": "x402: gas of a payment in a batch of 50, to one settled alone",
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

    def add(self, side: dict[str, list[float]], name: str, value: float) -> None:
        side.setdefault(name, []).append(value)

    def adding(self, side: dict[str, list[float]]) -> Callable[[str, float], None]:
        """What takes the values of one side."""
        return lambda name, value: self.add(side, name, value)


@dataclass(frozen=True, slots=True)
class Site:
    """A server that sells, and the chain on which it is paid."""

    base_url: str
    rpc_url: str
    pay_to: str


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
            with official_stack(python) as site:
                instant(site, size, measured.adding(measured.peer), say)
            with running_site(HOME / "site", fresh=True) as run_facts:
                wait_until_idle(run_facts)
                instant(site_of(run_facts), size, measured.adding(measured.ours), say)
                alone = settled.gas_of_a_payment(run_facts["database_url"], batch=1)
                measured.add(measured.ours, "gas_alone", alone)
                measured.add(measured.ours, "unpaid", unpaid_per_core(run_facts, seconds=size.unpaid_seconds))
            with official_stack(python, block_seconds=BLOCK_SECONDS) as site:
                paced(site, size, measured.adding(measured.peer), say)
            with running_site(HOME / "site", fresh=True, variables={"BLOCK_SECONDS": str(BLOCK_SECONDS)}) as run_facts:
                wait_until_idle(run_facts)
                paced(site_of(run_facts), size, measured.adding(measured.ours), say)
                full = settled.gas_of_a_payment(run_facts["database_url"], batch=settled.FULL_BATCH)
                measured.add(measured.ours, "gas_full", full)
    except (SiteDidNotStart, PeerDidNotStart, NothingAnswered) as error:
        return [figures.not_run(name, peer_name=PEER, why=str(error)[-400:]) for name in NAMES.values()]
    return report(measured)


def site_of(run_facts: dict[str, Any]) -> Site:
    """Our own site, as what is measured sees it."""
    return Site(run_facts["base_url"], rpc_url=run_facts["rpc_url"], pay_to=run_facts["pay_to"])


def instant(site: Site, size: Size, add: Callable[[str, float], None], say: Callable[[str], None]) -> None:
    """One wallet's first hundred payments, then many wallets at once."""
    keys = funded(site)
    first = load.paid_window(
        site.base_url, [load.presigned(site.base_url, keys[0], count=ONE_AFTER_ANOTHER)], seconds=60
    )
    require_answers(first, site.base_url)
    add("latency", first.median_ms)
    lists = [load.presigned(site.base_url, key, count=int(8 * size.instant_seconds) + 1) for key in keys]
    together = load.paid_window(site.base_url, lists, seconds=size.instant_seconds)
    add("wallets", together.per_second)
    say(
        f"  {site.base_url}: {first.median_ms:.1f} ms, {together.per_second:.1f}/s,"
        f" refused {first.refused + together.refused}"
    )


def paced(site: Site, size: Size, add: Callable[[str, float], None], say: Callable[[str], None]) -> None:
    """Many payments in flight at all times, over blocks of two seconds; what is counted is what the chain shows."""
    keys = funded(site)
    count = int(size.paced_seconds / BLOCK_SECONDS) + 1  # nobody is answered more than once a block
    callers = [load.presigned(site.base_url, keys[number % len(keys)], count=count) for number in range(IN_FLIGHT)]
    blocks = settled.Blocks(site.rpc_url, pay_to=site.pay_to)
    flow = load.paid_window(site.base_url, callers, seconds=size.paced_seconds)
    add("per_block", blocks.payments_per_block())
    add("refused", flow.refused)
    say(
        f"  {site.base_url}: {blocks.payments_per_block():.1f} a block, {flow.per_second:.1f}/s,"
        f" median {flow.median_ms:.0f} ms, refused {flow.refused}"
    )


def funded(site: Site) -> list[str]:
    """The keys of wallets that the chain shows plenty of the token for."""
    payers = [wallets.wallet(f"bench payer {number}") for number in range(WALLETS)]
    settled.fund(site.rpc_url, [payer.address for payer in payers])
    return [payer.private_key for payer in payers]


def report(measured: Measured) -> list[Figure]:
    """The medians, held against the goals."""
    ours = {name: statistics.median(values) for name, values in measured.ours.items()}
    peer = {name: statistics.median(values) for name, values in measured.peer.items()}
    repetitions = len(measured.ours["latency"])
    note = f"median of {repetitions}" if repetitions > 1 else "one repetition"
    goals = {"latency": figures.at_most(1), "wallets": figures.at_least(5)}
    units = {"latency": "ms", "wallets": "payments/s"}
    compared = [
        figures.beside(
            NAMES[name], ours[name], peer=peer[name], peer_name=PEER, unit=units[name], goal=goals[name], note=note
        )
        for name in goals
    ]
    return [
        *compared,
        figures.alone(
            NAMES["per_block"],
            ours["per_block"],
            unit="payments",
            goal=figures.at_least(100, unit="a block"),
            note=f"{note}; the peer: {peer['per_block']:.1f}",
        ),
        figures.alone(
            NAMES["refused"],
            max(measured.ours["refused"]),
            unit="payments",
            goal=figures.at_most(0, unit="payments"),
            note=f"most of {repetitions}; the peer: {max(measured.peer['refused']):.0f}",
        ),
        figures.alone(
            NAMES["gas"],
            ours["gas_full"] / ours["gas_alone"],
            unit="×",
            goal=figures.at_most(0.7),
            note=f"{ours['gas_full']:.0f} and {ours['gas_alone']:.0f} gas",
        ),
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
def official_stack(python: Path, *, block_seconds: int | None = None) -> Iterator[Site]:
    """A fresh chain, the official facilitator, the official server."""
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
        yield Site(f"http://{ports.HOST}:{server_port}", rpc_url=chain.url, pay_to=wallets.pay_to().address)
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
    deadline = time.monotonic() + PEER_START_SECONDS
    while not ports.is_open(port):
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            raise PeerDidNotStart(process.last_lines(log))
        time.sleep(0.05)
    return child
