"""A picture of a load run: the percentiles of each scenario, and how many operations a second it came to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


def draw(figures: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write an SVG file."""
    from matplotlib.figure import Figure

    names = list(figures)
    picture = Figure(figsize=(9, 4.5), layout="constrained")
    latency, throughput = picture.subplots(1, 2)
    for place, percentile in enumerate(PERCENTILES):
        positions = [position + place * 0.25 for position in range(len(names))]
        latency.bar(positions, [figures[name][percentile] for name in names], width=0.25, label=percentile)
    latency.set_yscale("log")
    latency.set_ylabel("milliseconds")
    latency.set_xticks([position + 0.25 for position in range(len(names))], names, rotation=20, ha="right")
    latency.legend()
    throughput.bar(names, [figures[name]["throughput_per_second"] for name in names])
    throughput.set_ylabel("operations a second")
    throughput.tick_params(axis="x", rotation=20)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, format="svg")
