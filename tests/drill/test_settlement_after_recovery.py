"""The first payment after a recovery is settled at once, whoever was turned away a moment before."""

import time
from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from billing.domain.errors import RecoveryInProgress
from billing.domain.recovery import Doubt
from billing.services import recovery
from tests.drill.payers import NewBuyer, pay_once
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger, own_ledger_of
from x402.services import settler

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

PAUSE_SECONDS = 4.0  # of a settler that met a recovery; long enough for the recovery to end meanwhile


@pytest.fixture
def own_ledger(own_database: dict[str, str], settings: LazySettings, treasury: str) -> Iterator[OwnLedger]:
    """An empty ledger that the code under test uses, and nobody else."""
    with own_ledger_of(own_database) as opened:
        settings.DATABASE_DIRECT_URL = opened.urls["DATABASE_DIRECT_URL"]
        settings.LOA = {**settings.LOA, "REDIS_URL": "", "WAIT_SECONDS": 30}
        yield opened
        assert settler.rest()


def await_its_start() -> None:
    """Until the settler has taken up its work, which the recovery refuses."""
    deadline = time.monotonic() + 60
    while settler._settlers[ledger.NETWORK, ""]._wanted.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_settler_that_paused_for_a_recovery_hears_of_a_payment_that_came_during_its_pause(
    own_ledger: OwnLedger, new_buyer: NewBuyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "ERROR_PAUSE_SECONDS", PAUSE_SECONDS)
    buyer = new_buyer(1_000_000)
    with pytest.raises(RecoveryInProgress):
        recovery.enter(Doubt.RELAYER_AHEAD)
    settler.wake(ledger.NETWORK)
    await_its_start()
    recovery.end_recovery(ended_by="ada", reason="looked", report="{}")

    assert pay_once(buyer).status == 200
