"""Grafana's dashboards without Grafana: each panel's expressions asked of a real Prometheus, and drawn as a picture.

No package of Debian, PyPI or npm has Grafana's server. Its own library of the dashboard's schema is on PyPI and reads
the files (`schema_losses`); Prometheus evaluates them; matplotlib stands for the browser.
"""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from matplotlib.figure import Figure

from loa_site.local import ports
from tests.infra import promql

mpl.use("agg")
COLUMNS, ROW_INCHES = 24, 0.45


def schema_losses(document: Mapping[str, Any]) -> list[str]:
    """What Grafana's own schema does not know of a dashboard, or reads otherwise than it is written."""
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dict(document))))
    return _losses(document, read, "")


def _losses(written: Any, read: Any, place: str) -> list[str]:
    if isinstance(written, Mapping) and isinstance(read, Mapping):
        missing = [f"{place}/{name}" for name in written if name not in read]
        return missing + [
            one for name in written if name in read for one in _losses(written[name], read[name], f"{place}/{name}")
        ]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        return [
            one
            for number, pair in enumerate(zip(written, read, strict=True))
            for one in _losses(*pair, f"{place}/{number}")
        ]
    return [] if written == read else [place]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus with our own rules."""

    port: int

    def ask(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        """The result of a query. Raises AssertionError with what Prometheus says is wrong."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=20) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        found: list[dict[str, Any]] = document["data"]["result"]
        return found

    def series(self, expression: str, *, seconds: int = 60) -> list[dict[str, Any]]:
        """What an expression was, each second of the last minute."""
        now = time.time()
        return self.ask("query_range", query=expression, start=str(now - seconds), end=str(now), step="1")

    def is_scraped(self, job: str) -> bool:
        """Whether the last scrape of the job was answered."""
        return [one["value"][1] for one in self.ask("query", query=f'up{{job="{job}"}}')] == ["1"]


@contextmanager
def prometheus(program: str, folder: Path, targets: Mapping[str, int]) -> Iterator[Prometheus]:
    """The configuration and rules of infra/prometheus, hurried, with our own targets by job; until the block ends."""
    settings = yaml.safe_load((promql.PROMETHEUS / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in settings["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    (folder / "rules").mkdir()
    for path in (promql.PROMETHEUS / "rules").glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
        (folder / "rules" / path.name).write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    running = Prometheus(ports.free_port())
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        child = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{running.port}"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield running
    finally:
        child.terminate()
        child.wait(20)


def draw(dashboard: Mapping[str, Any], source: Prometheus, target: Path) -> None:
    """The dashboard as a picture: panels where they are on the grid, each with its lines or its newest values."""
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(16, rows * ROW_INCHES), dpi=80)
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
        bottom, height = 1 - (place["y"] + place["h"]) / rows, place["h"] / rows
        axes = figure.add_axes((left + 0.035, bottom + height * 0.15, width - 0.05, height * 0.68))
        axes.set_title(panel["title"], fontsize=10, loc="left")
        axes.tick_params(labelsize=7)
        for wanted in panel["targets"]:
            for series in source.series(wanted["expr"]):
                labels = " ".join(f"{name}={value}" for name, value in series["metric"].items() if name != "__name__")
                points = [(float(at), float(value)) for at, value in series["values"]]
                newest = points[-1][0]
                axes.plot([at - newest for at, _ in points], [value for _, value in points], label=labels or "value")
        if axes.lines:
            axes.legend(fontsize=6, loc="upper left")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
