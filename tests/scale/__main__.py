"""`make scale NODES=1,2,4`: more nodes on this machine, measured; more machines than it has, simulated.

Prints one JSON object, writes it to `.loa/reports/scale.json` and draws `.loa/reports/scale.svg`. Measured are
throughput, latency and contention for each number of nodes; from their service times a simulation climbs to the target
rate and names at each step what was the bottleneck and what lifts it. `--model` simulates from the last report alone.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loa_site.local import binaries
from tests.scale import picture, pooler
from tests.scale.model import ServiceTimes, Step, Topology, capacity, ladder
from tests.scale.scaling import Plan, measure, verdict
from tests.scale.shares import can_share, cores
from tests.scale.topology import Shape, backing

HOME = binaries.ROOT / ".loa" / "scale"
REPORTS = binaries.ROOT / ".loa" / "reports"
REPORT, PLOT = REPORTS / "scale.json", REPORTS / "scale.svg"
TARGET_PER_SECOND = 10_000
SHARE = 0.15
FLUSH_SECONDS = 0.002  # of a network disk or a synchronous standby in the next zone; ours is faster


def main(arguments: list[str]) -> int:
    """Measure, simulate, write; 0 unless something refused paid calls or the model missed its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--nodes", default="1,2,4", help="the numbers of nodes to measure, separated by commas")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each window of load")
    parser.add_argument("--model", action="store_true", help="no measurement: simulate from the last report")
    parser.add_argument("--no-chain", action="store_true", help="calls by key only")
    parser.add_argument("--picture", type=Path, default=PLOT)
    options = parser.parse_args(arguments)
    if options.model:
        document = json.loads(REPORT.read_text())["figures"]
    else:
        counts = [int(count) for count in options.nodes.split(",")]
        document = measured(counts, Plan(options.seconds, with_chain=not options.no_chain), say)
        write({"suite": "scale", "passed": 0, "failed": 0, "figures": document})  # `--model` can go on from here
    say("simulating")
    times = service_times(document["shared"][0])
    steps = ladder(times, start_of(document), target=TARGET_PER_SECOND)
    document |= {"model": model_figures(times, document, steps)}
    reached = steps[-1].lift == ""
    refused = sum(one[kind]["refused"] for one in document["shared"] for kind in ("keys", "chain") if kind in one)
    write({"suite": "scale", "passed": int(reached) + int(not refused), "failed": 0, "figures": document})
    picture.draw({"shared": document["shared"], "own": document["own"]}, steps, options.picture)
    print(json.dumps(document))
    return 0 if reached and not refused else 1


def measured(counts: list[int], plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Both series, the pooled one where there is a pooler, and the verdict."""
    with backing(HOME) as servers:
        say(f"nodes that share {len(cores())} cores")
        shared = [measure(servers, Shape(count), plan, say) for count in counts]
        own: list[dict[str, Any]] = []
        if can_share():
            say(f"nodes with {SHARE:g} of a core each")
            own = [
                measure(servers, Shape(count, share=SHARE), Plan(plan.seconds, with_chain=False), say)
                for count in counts
            ]
        pooled: dict[str, Any] = {"not_run": pooler.HOW_TO_GET_IT}
        if pooler.program() is not None:
            say("nodes behind PgBouncer in transaction mode")
            shape = Shape(max(counts), through_pooler=True)
            pooled = measure(servers, shape, Plan(plan.seconds, with_chain=False), say)
    return {
        "cores": len(cores()),
        "shared": shared,
        "own": own,
        "pooled": pooled,
        "verdict": verdict(shared, own),
        "load_of_the_machine": os.getloadavg()[0],
    }


def service_times(run: dict[str, Any]) -> ServiceTimes:
    """Seconds at each station, from the processor time of one node's parts for one paid request.

    A paid call by key appends two journals in two batches at most; the database's time is split evenly between what a
    batch costs and what its journals cost, which is what `make bench` finds for batches of one and of many.
    """
    used = run["keys"]["milliseconds_a_request"]
    database = used["postgres"] / 1000
    return ServiceTimes(
        web=used["web"] / 1000,
        redis=used["redis"] / 1000,
        database=database * 0.5,
        append_fixed=database * 0.25,
        append_journal=database * 0.25,
        flush=FLUSH_SECONDS,
    )


def start_of(document: dict[str, Any]) -> Topology:
    """One node of one process on a database with this machine's cores: what was measured first."""
    return Topology(web_nodes=1, processes_a_node=1, database_cores=document["cores"])


def model_figures(times: ServiceTimes, document: dict[str, Any], steps: list[Step]) -> dict[str, Any]:
    """The model's words: its service times, how far it is from the measurement, and the ladder."""
    by_key = Topology(web_nodes=1, processes_a_node=1, database_cores=document["cores"], chain_share=0.0)
    return {
        "service_times_ms": {name: round(value * 1000, 3) for name, value in asdict(times).items()},
        "capacity_of_one_node": round(capacity(times, by_key), 1),
        "measured_of_one_node": document["shared"][0]["keys"]["per_second"],
        "target_per_second": TARGET_PER_SECOND,
        "steps": [
            {
                **asdict(step.topology),
                "offered": round(step.outcome.offered),
                "completed": round(step.outcome.completed),
                "p50_ms": round(step.outcome.p50 * 1000, 1),
                "p99_ms": round(step.outcome.p99 * 1000, 1),
                "utilisation": {name: round(value, 2) for name, value in step.outcome.utilisation.items()},
                "bottleneck": step.outcome.bottleneck if step.lift else "",
                "lift": step.lift,
            }
            for step in steps
        ],
    }


def write(report: dict[str, Any]) -> None:
    """Keep the report."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def say(line: str) -> None:
    """Tell whoever watches, beside the report."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
