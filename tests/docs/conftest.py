"""The report of `make docs`."""

from typing import Any

import pytest

from tests.suite_report import SuiteReport

report = SuiteReport("docs", folder="tests/docs/", seconds_max=3_600)


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """What is told in `.loa/reports/docs.json`."""
    return report.figures
