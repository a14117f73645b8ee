"""Throughput, latency and contention for each number of nodes, on one machine and one database.

Two series. `shared`: every node gets what processor time it can. `own`: every node has a fixed share of a core, as a
machine of its own would have, so that what a second node adds is seen even where cores are few.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from loa_site.local import wallets
from tests.bench import load as bench_load
from tests.bench.x402 import cpu_seconds, family_of
from tests.scale import load
from tests.scale.contention import Contention
from tests.scale.topology import Backing, Running, Shape, nodes

CALLERS_A_NODE = 12
IDLE_SHARE, IDLE_PATIENCE_SECONDS = 0.25, 20
WARM_UP_SECONDS = 3.0
PAYMENTS_A_WALLET = 60
STREAMS = "SELECT id, sequence FROM billing.stream ORDER BY id"
FLUSHES = "SELECT sum(xact_commit)::bigint FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each window is, and whether calls paid on the chain are measured too."""

    seconds: float = 8.0
    with_chain: bool = True


def measure(servers: Backing, shape: Shape, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Start the nodes, load them, and say what came of it."""
    with nodes(servers, shape) as running:
        wait_until_idle(running)
        keys = load.made_keys(running.variables, count=CALLERS_A_NODE * shape.nodes)
        running.bind_shares()
        load.key_window(running.base_url, keys, seconds=WARM_UP_SECONDS)
        figures: dict[str, Any] = {
            "nodes": shape.nodes,
            "share_of_a_core": shape.share or None,
            "through_pooler": shape.through_pooler,
        }
        with psycopg.connect(servers.admin_url, autocommit=True) as watcher:
            before, streams = asked(watcher, FLUSHES), streams_of(watcher)
            with Contention(servers.admin_url, running.groups) as contention:
                answers = load.key_window(running.base_url, keys, seconds=plan.seconds)
            time.sleep(1.2)  # the server tells its own statistics once a second
            after, grown = asked(watcher, FLUSHES), streams_of(watcher)
        figures["keys"] = answers.figures() | {
            "commits_a_request": round((after - before) / max(1, len(answers.latencies)), 2),
            "contention": contention.figures(),
            "streams": {
                str(stream): end - streams.get(stream, 0)
                for stream, end in grown.items()
                if end > streams.get(stream, 0)
            },
            "throttled": round(running.throttled(), 3),
            "milliseconds_a_request": milliseconds_a_request(contention.cpu, len(answers.latencies)),
        }
        say(f"  {shape.nodes} nodes, by key: {figures['keys']['per_second']}/s, p99 {figures['keys']['p99_ms']} ms")
        if plan.with_chain:
            figures["chain"] = on_chain(servers, running, plan)
            say(f"  {shape.nodes} nodes, on chain: {figures['chain']['per_second']}/s")
    return figures


def on_chain(servers: Backing, running: Running, plan: Plan) -> dict[str, Any]:
    """The same for calls that settle on the chain first, eight wallets at once."""
    payers = [payer.private_key for payer in wallets.payers()][:8]
    signed = [bench_load.presigned(running.base_url, key, count=PAYMENTS_A_WALLET) for key in payers]
    with Contention(servers.admin_url, running.groups) as contention:
        answers = load.payment_window(running.base_url, signed, seconds=plan.seconds)
    return answers.figures() | {
        "contention": contention.figures(),
        "milliseconds_a_request": milliseconds_a_request(contention.cpu, len(answers.latencies)),
    }


def milliseconds_a_request(cpu: dict[str, float], count: int) -> dict[str, float]:
    """Processor time of each part for one paid request."""
    return {name: round(used * 1000 / max(1, count), 3) for name, used in cpu.items()}


def wait_until_idle(running: Running) -> None:
    """Return when all processes have started: what that costs is no part of a request."""
    for _ in range(IDLE_PATIENCE_SECONDS):
        members = [member for pids in running.groups.values() for pid in pids for member in family_of(pid)]
        before = sum(map(cpu_seconds, members))
        time.sleep(1)
        if sum(map(cpu_seconds, members)) - before < IDLE_SHARE:
            return


def streams_of(connection: psycopg.Connection[Any]) -> dict[int, int]:
    """How far each stream of the ledger is."""
    return dict(connection.execute(STREAMS).fetchall())


def asked(connection: psycopg.Connection[Any], query: str) -> int:
    """The one number of a query."""
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def gains(series: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How many times the first count's throughput each count reached."""
    first = series[0]["keys"]["per_second"] or 1.0
    return {str(one["nodes"]): round(one["keys"]["per_second"] / first, 2) for one in series}


def verdict(shared: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whether two nodes carry 1.7 times one, and, where cores are too few for that, what shows that they are the limit.

    Cores are the limit when the machine was busy and backends at work hardly ever waited for a lock.
    """
    most = max(shared, key=lambda one: one["nodes"])["keys"]["contention"]
    document: dict[str, Any] = {
        "gain_shared": gains(shared),
        "machine_busy": most["machine_busy"],
        "row_lock_share": most["row_lock_share"],
        "lock_share": most["lock_share"],
        "cores_are_the_limit": most["machine_busy"] >= 0.9 and most["row_lock_share"] <= 0.05,
    }
    if own:
        document["gain_with_a_share_each"] = gains(own)
    reached = max(document["gain_shared"].get("2", 0.0), document.get("gain_with_a_share_each", {}).get("2", 0.0))
    return document | {"two_nodes_reach": reached, "two_nodes_suffice": reached >= 1.7}
