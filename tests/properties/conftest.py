"""Properties of the ledger run on the real database."""

import pytest

from tests.factories import ledger


@pytest.fixture(scope="session")
def payment_table(django_db_setup: None) -> None:
    ledger.make_payment_table()
