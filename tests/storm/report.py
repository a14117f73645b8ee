"""What a storm tells: figures for people, and a line for the record."""

import json

from loa_site.local import binaries
from tests.storm.storm import Outcome

REPORTS = binaries.ROOT / ".loa" / "reports" / "storms"


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
