"""The names of series in a PromQL expression: words that are no function, label, keyword or duration."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from loa_site.local import binaries

PROMETHEUS = binaries.ROOT / "infra" / "prometheus"
DASHBOARDS = binaries.ROOT / "infra" / "grafana" / "dashboards"
WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
NOT_SERIES = frozenset(
    {
        "sum",
        "max",
        "min",
        "avg",
        "by",
        "and",
        "or",
        "without",
        "rate",
        "increase",
        "histogram_quantile",
        "absent",
        "vector",
    }
)
SUFFIXES = ("_bucket", "_count", "_sum")


def series_of(expression: str) -> set[str]:
    """Every series an expression reads, as it is scraped."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without)\s*\([^)]*\)", "", bare)
    return {word for word in WORD.findall(bare) if word not in NOT_SERIES}


def base_of(series: str) -> str:
    """The metric's name without the suffix of a histogram's parts."""
    return next((series.removesuffix(end) for end in SUFFIXES if series.endswith(end)), series)


def rules() -> list[dict[str, Any]]:
    """Every recording rule and alert."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    return [rule for path in files for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def outcomes_asked_for(cases: Path) -> dict[str, set[bool]]:
    """For each alert of promtool's test cases whether it is wanted to fire: in one case, in none, or both."""
    wanted: dict[str, set[bool]] = {}
    for test in yaml.safe_load(cases.read_text())["tests"]:
        for question in test["alert_rule_test"]:
            wanted.setdefault(question["alertname"], set()).add(bool(question.get("exp_alerts")))
    return wanted


def recorded() -> set[str]:
    """The names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def expressions() -> list[str]:
    """Every expression of every rule and panel."""
    panels = [panel for dashboard in dashboards().values() for panel in dashboard["panels"]]
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels for target in panel["targets"]]


def _all_series() -> set[str]:
    return {name for expression in expressions() for name in series_of(expression)}


def scraped_series() -> set[str]:
    """Every series that must come from a scrape."""
    return _all_series() - recorded() - {"up"}
