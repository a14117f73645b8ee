"""Writes down, at the end of a run, what became of every test that the sprint plan names."""

import json
from pathlib import Path

import pytest

from tests.architecture.test_sprint_plan import named_tests
from tests.architecture.tracked import ROOT

REPORT = ROOT / ".loa" / "reports" / "sprint_plan.json"


def pytest_configure(config: pytest.Config) -> None:
    """Listen to all tests of the run, not only to those of this folder."""
    config.pluginmanager.register(RunRecord(), "sprint-plan-record")


class RunRecord:
    """The worst outcome of each test, parameters taken together."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a failure over a skip over a pass."""
        if report.when == "call" or not report.passed:
            name = report.nodeid.partition("[")[0]
            ranks = ("passed", "skipped", "failed")
            self.outcomes[name] = max(self.outcomes.get(name, "passed"), report.outcome, key=ranks.index)

    def pytest_sessionfinish(self) -> None:
        """Write the record when the run had any of the named tests."""
        names = {f"{Path(path).as_posix()}::{name}" for path, name in named_tests()}
        ran = {name: self.outcomes[name] for name in sorted(names & self.outcomes.keys())}
        if ran:
            REPORT.parent.mkdir(parents=True, exist_ok=True)
            document = {"ran": ran, "did_not_run": sorted(names - ran.keys())}
            REPORT.write_text(json.dumps(document, indent=2) + "\n")
