"""The figures of a marked suite, kept while it runs and written to `.loa/reports/<suite>.json` when it ends."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(__file__).resolve().parent.parent / ".loa" / "reports"


class SuiteReport:
    """A pytest plugin for one suite. Tests put what they measured into `figures`."""

    def __init__(self, suite: str, *, folder: str, seconds_max: float) -> None:
        self.suite = suite
        self._seconds_max = seconds_max
        self.figures: dict[str, Any] = {}
        self._folder = folder
        self._outcomes: dict[str, str] = {}
        self._began = time.monotonic()
        self._is_alone = True

    def listen(self, config: pytest.Config) -> None:
        """Take part in a run of one process. Where several workers run the tests, none of them has all the figures."""
        if not hasattr(config, "workerinput") and config.getoption("dist", "no") == "no":
            config.pluginmanager.register(self, f"{self.suite}-report")

    @property
    def path(self) -> Path:
        return REPORTS / f"{self.suite}.json"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome of each test of the suite's folder."""
        if self._folder not in report.nodeid:
            self._is_alone = False
        elif report.when == "call" or report.failed:
            self._outcomes[report.nodeid] = "failed" if report.failed else report.outcome

    def pytest_sessionfinish(self, session: Any) -> None:
        """Write the report when any test of the suite ran; a run of this suite alone that took too long fails."""
        if not self._outcomes:
            return
        seconds = time.monotonic() - self._began
        if self._is_alone and seconds > self._seconds_max:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        outcomes = list(self._outcomes.values())
        document = {
            "suite": self.suite,
            "passed": outcomes.count("passed"),
            "failed": outcomes.count("failed"),
            "figures": {**self.figures, "seconds": round(seconds, 2)},
        }
        REPORTS.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=2) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say the figures at the end of the run."""
        for name, value in self.figures.items():
            terminalreporter.write_line(f"{self.suite}: {name}: {json.dumps(value)}")


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values do not exceed.

    >>> [percentile([1.0, 2.0, 3.0, 4.0], percent) for percent in (50, 95, 100)]
    [2.0, 4.0, 4.0]
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
