"""Other apps add checks of their own to the proof, by dotted path."""

from collections.abc import Iterator

import pytest
from django.db.backends.utils import CursorWrapper

from billing.services import verification
from billing.services.verification_findings import CheckResult, Finding
from tests.factories.own_ledger import OwnLedger


def always_wrong(cursor: CursorWrapper) -> CheckResult:
    cursor.execute("SELECT count(*) FROM billing.stream")
    return CheckResult("extra", cursor.fetchone()[0], Finding("extra", "payment pay_1", "it has no journal"))


@pytest.fixture
def _added() -> Iterator[None]:
    verification.add_check("extra", f"{__name__}.always_wrong")
    yield
    del verification._added_checks["extra"]


@pytest.mark.usefixtures("_added")
def test_an_added_check_runs_in_the_same_snapshot_and_is_reported(own_ledger: OwnLedger) -> None:
    findings = verification.verify_ledger().findings

    assert findings == (Finding("extra", "payment pay_1", "it has no journal"),)
