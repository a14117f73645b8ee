"""The suite of task 13.3: marked `integration`, on a real Redis, with its figures written down."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.factories import ledger
from tests.integration.real_redis import get_test_redis, version_of
from tests.suite_report import SuiteReport

FOLDER = Path(__file__).parent
report = SuiteReport("integration", folder="tests/integration/", seconds_max=30)


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is marked, and needs services."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def payment_table(django_db_setup: None) -> None:
    ledger.make_payment_table()


@pytest.fixture
def redis_server(transactional_db: None) -> Iterator[Redis]:
    """The run's Redis."""
    client = get_test_redis()
    report.figures["redis"] = version_of(client)
    report.figures["provider"] = os.environ.get("TEST_REDIS_PROVIDER", "the run's own")
    yield client
    client.close()
