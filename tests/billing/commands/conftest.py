"""Commands are tried on a ledger of their own."""

from collections.abc import Iterator

import pytest

from tests.factories.own_ledger import OwnLedger, own_ledger_of


@pytest.fixture
def own_ledger(own_database: dict[str, str], transactional_db: None) -> Iterator[OwnLedger]:
    """An empty ledger that the code under test uses."""
    with own_ledger_of(own_database) as opened:
        yield opened
