"""What a storm tells: figures for people, and a row of the table in docs/reference/storm.md."""

import json
from typing import Any

from loa_site.local import binaries
from tests.storm.storm import Outcome

REPORTS = binaries.ROOT / ".loa" / "reports" / "storms"
COLUMNS = {
    "kills": ("kill", "end", "clock"),
    "pauses": ("pause", "pause_standby", "pause_chain", "pause_redis"),
    "flushes": ("flush",),
    "Redis failovers": ("redis_failover",),
    "database restarts": ("postgres_restart",),
    "promotions": ("promoted",),
    "reorganisations": ("reorg",),
    "full disks": ("disk_full", "redis_full"),
    "troubles of links": ("trouble",),
}


def text(outcome: Outcome) -> str:
    """The figures, and the first invariant that does not hold."""
    lines = [f"\nStorm {outcome.seed}"]
    lines += [f"  {name}: {value}" for name, value in outcome.figures.items()]
    if outcome.held:
        lines.append(f"All invariants hold. (seed {outcome.seed})")
    else:
        first = outcome.violations[0]
        lines.append(f"VIOLATED by seed {outcome.seed}: {first.invariant}: {first.detail}")
        lines += [f"  also {one.invariant}: {one.detail}" for one in outcome.violations[1:]]
    return "\n".join(lines)


def keep(outcome: Outcome) -> None:
    """Keep it beside the other reports, one file a seed."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{outcome.seed}.json").write_text(json.dumps(outcome.to_json(), indent=2, default=str) + "\n")


def table() -> str:
    """Every storm that is kept, as rows of Markdown."""
    kept = [json.loads(path.read_text()) for path in REPORTS.glob("*.json")]
    head = ["seed", "payments", "requests", *COLUMNS, "seconds to rest", "invariants"]
    rows = [head, ["---"] * len(head), *(_row(one) for one in sorted(kept, key=lambda one: int(one["seed"])))]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(kept: dict[str, Any]) -> list[str]:
    figures = kept["figures"]
    counts = [sum(figures["faults"].get(kind, 0) for kind in kinds) for kinds in COLUMNS.values()]
    verdict = "hold" if kept["held"] else kept["violations"][0]["invariant"]
    cells = [kept["seed"], figures["payments"], figures["requests"], *counts, figures["seconds to rest"], verdict]
    return [str(cell) for cell in cells]
