"""What a benchmark says: one figure of ours beside the peer's, with the goal it is held against."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loa_site.local import binaries

REPORTS = binaries.ROOT / ".loa" / "reports"
REPORT, PLOT = REPORTS / "bench.json", REPORTS / "bench.svg"


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is ours to the peer's, or to the goal's own bound where there is no peer. Not run is never met."""

    name: str
    ours: float | None
    peer: float | None
    peer_name: str
    unit: str
    ratio: float | None
    goal: str
    met: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound and which side of it is good."""

    text: str
    holds: Callable[[float], bool]


def at_least(bound: float, *, unit: str = "×") -> Goal:
    """More is better."""
    return Goal(f"≥ {bound:g} {unit}", lambda value: value >= bound)


def at_most(bound: float, *, unit: str = "×") -> Goal:
    """Less is better."""
    return Goal(f"≤ {bound:g} {unit}", lambda value: value <= bound)


def beside(name: str, ours: float, *, peer: float, peer_name: str, unit: str, goal: Goal, note: str = "") -> Figure:
    """A figure held against a peer's."""
    ratio = ours / peer if peer else 0.0
    return Figure(
        name, round(ours, 3), round(peer, 3), peer_name, unit, round(ratio, 2), goal.text, goal.holds(ratio), note
    )


def alone(name: str, ours: float, *, unit: str, goal: Goal, note: str = "") -> Figure:
    """A figure held against a bound of its own."""
    return Figure(name, round(ours, 3), None, "", unit, None, goal.text, goal.holds(ours), note)


def not_run(name: str, *, peer_name: str, why: str) -> Figure:
    """A figure that could not be measured, with the reason."""
    return Figure(name, None, None, peer_name, "", None, "", False, f"not run: {why}")


def write(figures: Sequence[Figure]) -> None:
    """Write the report and draw it; figures of parts that did not run this time are kept from the last report."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    names = {figure.name for figure in figures}
    earlier = [entry for entry in _read() if entry["name"] not in names]
    entries = earlier + [asdict(figure) for figure in figures]
    REPORT.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
    _draw([entry for entry in entries if entry["ratio"] is not None], PLOT)


def table(figures: Sequence[Figure]) -> str:
    """The figures for people, one a line."""
    lines = [f"{'figure':58} {'ours':>12} {'peer':>12} {'ratio':>7}  goal"]
    for figure in figures:
        if figure.ours is None:
            lines.append(f"{figure.name:58} {figure.note}")
            continue
        peer = "" if figure.peer is None else f"{figure.peer:,.1f}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        verdict = "met" if figure.met else "NOT MET"
        ours = f"{figure.ours:,.1f}"
        lines.append(f"{figure.name:58} {ours:>12} {peer:>12} {ratio:>7}  {figure.goal} {verdict} [{figure.unit}]")
    return "\n".join(lines)


def _read() -> list[dict[str, object]]:
    if not REPORT.exists():
        return []
    entries: list[dict[str, object]] = json.loads(REPORT.read_text())
    return entries


def _draw(entries: Sequence[dict[str, object]], path: Path) -> None:
    """Bars of the ratios, so that one look says where we stand."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if not entries:
        return
    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(entries) + 1.2))
    names = [f"{entry['name']}\n(beside {entry['peer_name']}, goal {entry['goal']})" for entry in entries]
    ratios = [float(str(entry["ratio"])) for entry in entries]
    colours = ["#2b7a4b" if entry["met"] else "#b3412e" for entry in entries]
    axes.barh(names, ratios, color=colours)
    axes.axvline(1.0, color="#555555", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("ours ÷ peer")
    axes.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
