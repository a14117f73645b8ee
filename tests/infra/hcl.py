"""infra/terraform as Python values: resources by address, and the alarms with the filters that feed them.

python-hcl2 keeps expressions as they are written (`${…}`) and quotes literal strings; `plain` takes the quotes off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import hcl2

from loa_site.local import binaries

FOLDER: Final = binaries.ROOT / "infra" / "terraform"
CATALOGUE: Final = FOLDER / "modules" / "alarm_catalogue" / "main.tf"
ALARM: Final = "aws_cloudwatch_metric_alarm"
FILTER: Final = "aws_cloudwatch_log_metric_filter"
TOPIC: Final = "${aws_sns_topic.loa_finn_alarms.arn}"


@dataclass(frozen=True, slots=True)
class LogAlarm:
    """An alarm on log lines: what its filter looks for, and when it fires."""

    name: str
    pattern: str
    value: str
    statistic: str
    threshold: float
    period: int
    periods: int
    missing: str
    comparison: str


@cache
def documents(folder: Path = FOLDER) -> tuple[tuple[Path, dict[str, Any]], ...]:
    """Every parsed file below a folder."""
    return tuple((path, hcl2.loads(path.read_text())) for path in sorted(folder.rglob("*.tf")))


def blocks(kind: str, folder: Path = FOLDER) -> Iterator[tuple[str, Any]]:
    """Every block of a kind (`resource`, `variable`, `output` …) with its address."""
    for _, document in documents(folder):
        for block in document.get(kind, []):
            for first, inner in block.items():
                if kind not in ("resource", "data"):
                    yield plain(first), inner
                    continue
                for second, body in inner.items():
                    yield f"{plain(first)}.{plain(second)}", body


def resources(kind: str = "", folder: Path = FOLDER) -> dict[str, Any]:
    """Resources by address, of one type or of all."""
    return {
        address: body for address, body in blocks("resource", folder) if address.startswith(f"{kind}." if kind else "")
    }


def plain(value: Any) -> Any:
    """A value as terraform would read it: without the quotes and their escapes."""
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {plain(name): plain(one) for name, one in value.items() if name != "__is_block__"}
    return value


def log_alarms() -> list[LogAlarm]:
    """Every alarm that a log line can raise, whether written out or from the catalogue."""
    filters = {address.partition(".")[2]: plain(body) for address, body in resources(FILTER).items()}
    found = []
    for name, alarm in ((address.partition(".")[2], plain(body)) for address, body in resources(ALARM).items()):
        feeding = filters.get({"billing_pending_high": "billing_pending"}.get(name, name))
        if name == "event" or feeding is None:
            continue
        transformation = feeding["metric_transformation"][0]
        assert transformation["name"] == alarm["metric_name"]
        found.append(
            LogAlarm(
                name=name,
                pattern=feeding["pattern"],
                value=transformation["value"],
                statistic=alarm["statistic"],
                threshold=alarm["threshold"],
                period=alarm["period"],
                periods=alarm["evaluation_periods"],
                missing=alarm["treat_missing_data"],
                comparison=alarm["comparison_operator"],
            )
        )
    return found + [_catalogued(name, plain(entry)) for name, entry in catalogue().items()]


def catalogue() -> dict[str, Any]:
    """The catalogue of alarms on log lines."""
    document = hcl2.loads(CATALOGUE.read_text())
    entries: dict[str, Any] = document["locals"][0]["log_alarms"]
    return {plain(name): entry for name, entry in entries.items() if name != "__comments__"}


def _catalogued(name: str, entry: dict[str, Any]) -> LogAlarm:
    return LogAlarm(
        name=name,
        pattern=entry["pattern"],
        value=entry["value"],
        statistic=entry["statistic"],
        threshold=entry["threshold"],
        period=entry["period"],
        periods=entry["periods"],
        missing=entry["missing"],
        comparison="LessThanThreshold" if name == "heartbeat_missing" else "GreaterThanThreshold",
    )
