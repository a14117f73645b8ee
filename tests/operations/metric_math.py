"""CloudWatch's alarms on AWS's own metrics, as far as ours use them, evaluated here on what the cloud stored.

An alarm reads one metric, or an expression over several. Expressions have numbers, names, + - * / >, `IF(a, b, c)` and
`FILL(a, b)`; a period without a value of a metric is None, which only FILL turns into a number.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.infra import hcl

OPERATORS: Final[Mapping[type, Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
}
COMPARISONS: Final = {"GreaterThanThreshold": operator.gt, "LessThanThreshold": operator.lt}
MONITORING: Final = (hcl.FOLDER / "loa-finn-monitoring.tf").read_text()
STORE_ENTRY: Final = re.compile(r"^    (\w+) = \{\n(.*?)^    \}", re.MULTILINE | re.DOTALL)
FACT: Final = re.compile(r"(\w+)\s*= (\"[^\"]*\"|[\d* ]+|var\.[\w.]+)")


class NotUnderstood(ValueError):
    """Raised for an expression that this evaluator does not know: better no answer than a wrong one."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of AWS and how a period of it becomes a number."""

    namespace: str
    name: str
    statistic: str
    period: int


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """An alarm on metrics: what it computes of them, and when it fires."""

    name: str
    metrics: Mapping[str, Metric]
    expression: str
    comparison: str
    threshold: float
    periods: int
    missing: str

    def fires(self, values: Sequence[Mapping[str, float | None]]) -> bool:
        """Whether the alarm is in ALARM after these periods, each with a value for every metric; the newest last."""
        recent = list(values)[-self.periods :]
        return len(recent) == self.periods and all(self._breaches(period) for period in recent)

    def _breaches(self, period: Mapping[str, float | None]) -> bool:
        found = evaluated(self.expression, period)
        if found is None:
            return self.missing == "breaching"
        return bool(COMPARISONS[self.comparison](found, self.threshold))


def evaluated(expression: str, values: Mapping[str, float | None]) -> float | None:
    """The value of an expression of metrics; None where a metric has none. Raises NotUnderstood."""
    return _value(ast.parse(expression, mode="eval").body, values)


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
            return _joined(sign, _value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in OPERATORS:
            return _joined(sign, _value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id="FILL"), args=[first, second]):
            found = _value(first, values)
            return _value(second, values) if found is None else found
        case ast.Call(func=ast.Name(id="IF"), args=[condition, first, second]):
            holds = _value(condition, values)
            return None if holds is None else _value(first if holds else second, values)
    raise NotUnderstood(ast.dump(node))


def _joined(sign: ast.operator | ast.cmpop, left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else float(OPERATORS[type(sign)](left, right))


def metric_alarms() -> dict[str, MetricAlarm]:
    """Every alarm of infra/terraform that no log line feeds."""
    fed = {body["metric_transformation"][0]["name"] for body in map(hcl.plain, hcl.resources(hcl.FILTER).values())}
    found = {}
    for address, alarm in ((name, hcl.plain(body)) for name, body in hcl.resources(hcl.ALARM).items()):
        name = address.partition(".")[2]
        if name in ("event", "store") or alarm.get("metric_name") in fed:
            continue
        found[name] = _of_one_metric(name, alarm) if "metric_name" in alarm else _of_an_expression(name, alarm)
    return found | {name: _of_a_store(name, text) for name, text in STORE_ENTRY.findall(_store_alarms())}


def _of_one_metric(name: str, alarm: Mapping[str, Any]) -> MetricAlarm:
    metric = Metric(alarm["namespace"], alarm["metric_name"], alarm["statistic"], alarm["period"])
    return MetricAlarm(name, {"m": metric}, "m", **_limits(alarm))


def _of_an_expression(name: str, alarm: Mapping[str, Any]) -> MetricAlarm:
    metrics, expression = {}, ""
    for query in alarm["metric_query"]:
        if "expression" in query:
            expression = query["expression"]
            continue
        [read] = query["metric"]
        metrics[query["id"]] = Metric(read["namespace"], read["metric_name"], read["stat"], read["period"])
    return MetricAlarm(name, metrics, expression, **_limits(alarm))


def _of_a_store(name: str, text: str) -> MetricAlarm:
    facts = {key: value.strip('"') for key, value in FACT.findall(text)}
    threshold = facts["threshold"]
    if threshold.startswith("var."):
        threshold = str(_default_of(threshold))
    metric = Metric(facts["namespace"], facts["metric"], facts["statistic"], int(facts["period"]))
    limit = evaluated(threshold, {})
    assert limit is not None
    return MetricAlarm(name, {"m": metric}, "m", facts["comparison"], limit, int(facts["periods"]), "breaching")


def _limits(alarm: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "comparison": alarm["comparison_operator"],
        "threshold": float(alarm["threshold"]),
        "periods": alarm["evaluation_periods"],
        "missing": alarm["treat_missing_data"],
    }


def _store_alarms() -> str:
    found = re.search(r"store_alarms = \{\n(.*?)\n  \}\n", MONITORING, re.DOTALL)
    assert found is not None
    return found[1]


def _default_of(variable: str) -> int:
    """The default of a field of an object variable: `var.database.connections_alarmed`."""
    field = variable.rpartition(".")[2]
    text = (hcl.FOLDER / "variables.tf").read_text()
    found = re.search(rf"{field}\s*= (?:optional\(number, )?(\d+)", text)
    assert found is not None, variable
    return int(found[1])
