"""The proof and the export read range by range: what Python holds does not grow with the ledger."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.services.append_journal import append
from billing.services.exports import export_csv
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

pytestmark = pytest.mark.slow


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_four_times_the_journals_need_no_more_memory(
    own_ledger: OwnLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.services.exports.RANGE_JOURNALS", 200)
    monkeypatch.setattr("billing.services.verification_streams.RANGE_JOURNALS", 200)
    peaks = []
    for batches in (5, 15):
        for _ in range(batches):
            append([ledger.suspense_journal() for _ in range(100)])
        verify_ledger()  # what is imported and cached once does not count
        peaks.append((peak_bytes(verify_ledger), peak_bytes(lambda: export_csv(tmp_path / "ledger.csv"))))

    (verify_few, export_few), (verify_many, export_many) = peaks
    assert verify_many < 1.2 * verify_few + 50_000
    assert export_many < 1.2 * export_few + 50_000
