"""CloudWatch's metric filters and alarms, as far as ours use them, evaluated here: moto evaluates none.

A filter is `{ $.name = "text" && $.other = "text" }`; its value is a number or `$.field`. An alarm takes a statistic of
what its filter found within each period and compares it, as many periods in a row as it says.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.infra.hcl import LogAlarm

WHOLE = re.compile(r"\{ (.+) \}")
TERM = re.compile(r'\$\.(\w+) = "([^"]*)"')
STATISTICS = {"Sum": sum, "Maximum": max}
COMPARISONS = {"GreaterThanThreshold": lambda a, b: a > b, "LessThanThreshold": lambda a, b: a < b}


class NotAFilter(ValueError):
    """Raised for a pattern that this evaluator does not know: better no answer than a wrong one."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed pattern."""

    terms: tuple[tuple[str, str], ...]

    def matches(self, line: dict[str, Any]) -> bool:
        """Whether every field is there and has the text."""
        return all(line.get(name) == text for name, text in self.terms)


def parse(pattern: str) -> Filter:
    """The terms of a pattern. Raises NotAFilter."""
    whole = WHOLE.fullmatch(pattern)
    parts = whole[1].split(" && ") if whole else []
    found = [TERM.fullmatch(part) for part in parts]
    if not found or not all(found):
        raise NotAFilter(pattern)
    return Filter(tuple((term[1], term[2]) for term in found if term))


def values(alarm: LogAlarm, lines: Sequence[str]) -> list[float]:
    """What the alarm's filter makes of log lines, each of which must be one JSON object."""
    wanted = parse(alarm.pattern)
    documents = [json.loads(line) for line in lines]
    matching = [document for document in documents if wanted.matches(document)]
    field = alarm.value.removeprefix("$.")
    return [float(document[field]) if alarm.value.startswith("$.") else float(alarm.value) for document in matching]


def fires(alarm: LogAlarm, periods: Sequence[Sequence[str]]) -> bool:
    """Whether the alarm is in ALARM after these periods of log lines, the newest last."""
    compare, join = COMPARISONS[alarm.comparison], STATISTICS[alarm.statistic]
    recent = list(periods)[-alarm.periods :]
    if len(recent) < alarm.periods:
        return False
    verdicts = []
    for lines in recent:
        found = values(alarm, lines)
        verdicts.append(compare(join(found), alarm.threshold) if found else alarm.missing == "breaching")
    return all(verdicts)
