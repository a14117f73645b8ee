"""Fixtures all tests share, and how the tests use the database.

The runner (`python -m loa_site.local test`) has already migrated a database as its owner; the tests connect as the
application's role, which may not TRUNCATE the ledger. So nothing is ever flushed: a test makes accounts of its own,
or asks for a database of its own with `own_database`.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase

from telemetry.correlation import bind_correlation_id
from tests.factories.own_database import own_database_of_a_test


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without services, tests that want the database are skipped with the reason."""
    if settings.TEST_SERVICES:
        return
    wants_services = {"db", "transactional_db", "own_database", "django_db_setup"}
    skip = pytest.mark.skip(reason="needs services: run `python -m loa_site.local test`")
    for item in items:
        if wants_services & set(getattr(item, "fixturenames", ())) or item.get_closest_marker("django_db"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """The database is there and migrated already; nothing is created, nothing is dropped."""


@pytest.fixture(autouse=True, scope="session")
def _never_flush() -> Iterator[None]:
    """After a transactional test connections are closed and rows stay: the ledger refuses TRUNCATE."""

    def close_connections(_case: Any) -> None:
        connections.close_all()

    original = TransactionTestCase._fixture_teardown
    TransactionTestCase._fixture_teardown = close_connections
    yield
    TransactionTestCase._fixture_teardown = original


@pytest.fixture(autouse=True)
def _no_correlation_of_another_test() -> None:
    """A service called outside any request binds its quote's id to the thread; the next test is another request."""
    bind_correlation_id("")


@pytest.fixture(autouse=True)
def _settlers_rest() -> Iterator[None]:
    """No settler of this process works beyond the test that woke it."""
    yield
    settler = sys.modules.get("x402.services.settler")
    if settler is not None:
        assert settler.rest()


@pytest.fixture
def own_database() -> Iterator[dict[str, str]]:
    """The two URLs of a fresh copy of the migrated template, for tests that change the schema or break things."""
    with own_database_of_a_test() as urls:
        yield urls
