"""The plots of a scale run: what was measured for each number of nodes, and the model's way to the target."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.scale.model import Step

COLOURS = {"shared": "#2b5f8a", "own": "#2b7a4b", "lock": "#b3412e", "busy": "#555555"}


def draw(series: Mapping[str, Sequence[Mapping[str, Any]]], steps: Sequence[Step], path: Path) -> None:
    """Write an SVG file with three panels: throughput, contention, and the simulated topologies."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(13, 4.2), layout="constrained")
    throughput, contention, simulated = picture.subplots(1, 3)
    for name, label in (("shared", "nodes share the cores"), ("own", "a share of a core each")):
        runs = series.get(name, ())
        if runs:
            counts = [run["nodes"] for run in runs]
            throughput.plot(counts, [run["keys"]["per_second"] for run in runs], "o-", color=COLOURS[name], label=label)
    _finish(throughput, "web and worker nodes", "paid requests a second", "measured")
    runs = series["shared"]
    counts = [run["nodes"] for run in runs]
    found = [run["keys"]["contention"] for run in runs]
    contention.plot(counts, [one["machine_busy"] for one in found], "s-", color=COLOURS["busy"], label="cores busy")
    for name, colour, label in (
        ("flush_share", COLOURS["shared"], "backends waiting for the log's flush"),
        ("row_lock_share", COLOURS["lock"], "backends waiting for a row"),
    ):
        contention.plot(counts, [one[name] for one in found], "o-", color=colour, label=label)
    contention.set_ylim(0, 1.02)
    _finish(contention, "web and worker nodes", "share", "what they waited for, sharing the cores")
    _ladder(simulated, steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, format="svg", metadata={"Date": None})


def _ladder(axes: Any, steps: Sequence[Step]) -> None:
    numbers = list(range(1, len(steps) + 1))
    axes.step(numbers, [step.outcome.completed for step in steps], where="mid", color=COLOURS["shared"])
    for number, step in zip(numbers, steps, strict=True):
        axes.annotate(
            step.outcome.bottleneck if step.lift else "reached",
            (number, step.outcome.completed),
            rotation=90,
            fontsize=5,
            textcoords="offset points",
            xytext=(0, 4),
        )
    axes.set_yscale("log")
    axes.set_xlabel("topology, each larger at its bottleneck")
    axes.set_ylabel("simulated paid requests a second")
    axes.set_title("simulated; the bottleneck of each")


def _finish(axes: Any, across: str, up: str, title: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
