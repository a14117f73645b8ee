"""Workers are tested on the real database, with a table that stands for another app's."""

import pytest

from tests.factories import ledger


@pytest.fixture(scope="session")
def payment_table(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> None:
    ledger.make_payment_table()
