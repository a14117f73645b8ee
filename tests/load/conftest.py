"""The suite of task 13.4: marked `load`, on the Redis of task 13.3, conservation proved after each scenario.

LOAD_ROUNDS repeats each scenario; one round is the short form that every test run includes.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.selectors.reports import conservation
from tests.factories import ledger
from tests.integration.real_redis import get_test_redis, version_of
from tests.load.measuring import Measured, sum_of_all_postings
from tests.load.plot import draw
from tests.suite_report import REPORTS, SuiteReport

FOLDER = Path(__file__).parent
ROUNDS = int(os.environ.get("LOAD_ROUNDS", "1"))
PLOT = REPORTS / "load.svg"


class LoadReport(SuiteReport):
    """The report, and the plot beside it."""

    def pytest_sessionfinish(self, session: Any) -> None:
        """Write both."""
        super().pytest_sessionfinish(session)
        scenarios = {name: value for name, value in self.figures.items() if isinstance(value, dict)}
        if scenarios:
            draw(scenarios, PLOT)


report = LoadReport("load", folder="tests/load/", seconds_max=60)


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is marked."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.load)


@pytest.fixture(scope="session")
def payment_table(django_db_setup: None) -> None:
    ledger.make_payment_table()


@pytest.fixture
def scenario(transactional_db: None) -> Iterator[Callable[[str, Callable[[], Measured]], Measured]]:
    """Runs a scenario its rounds long, writes its figures down, and proves conservation afterwards."""
    client = get_test_redis()
    report.figures["redis"] = version_of(client)
    client.close()

    def run(name: str, play: Callable[[], Measured]) -> Measured:
        measured = Measured()
        for _ in range(ROUNDS):
            measured.add(play())
        figures: dict[str, Any] = dict(measured.figures)
        report.figures[name] = figures
        return measured

    yield run
    assert sum_of_all_postings() == {}
    assert conservation().is_conserved
