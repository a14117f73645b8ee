"""A long stream is proved in segments, side by side, and is judged as if it had been walked in one go."""

import threading

import pytest

from billing.services import verification_streams
from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

JOURNALS = 40  # of the test; with segments of ten they are more than the two connections


@pytest.fixture
def long_ledger(own_ledger: OwnLedger, monkeypatch: pytest.MonkeyPatch) -> OwnLedger:
    monkeypatch.setattr(verification_streams, "SEGMENT_JOURNALS", 10)
    append([ledger.suspense_journal() for _ in range(JOURNALS)])
    return own_ledger


def test_segments_are_proved_on_connections_of_their_own_and_add_up(long_ledger: OwnLedger) -> None:
    heard: list[tuple[str, str]] = []

    proof = verify_ledger(progress=lambda check: heard.append((check, threading.current_thread().name)))

    assert (proof.findings, proof.posting_count) == ((), 2 * JOURNALS)
    assert [check for check, _ in heard].count("streams") == 4
    assert all(thread.startswith("ledger-proof") for _, thread in heard)
    assert [result.check for result in proof.results].count("streams") == 1


@pytest.mark.parametrize("sequences", [(5,), (10,), (11,), (35,), (12, 31)])
def test_the_first_changed_journal_of_any_segment_is_named(long_ledger: OwnLedger, sequences: tuple[int, ...]) -> None:
    listed = ", ".join(map(str, sequences))
    long_ledger.tamper(f"UPDATE billing.journal SET correlation_id = 'quo_x' WHERE sequence IN ({listed})")

    [finding] = verify_ledger().findings

    assert f"sequence {sequences[0]})" in finding.where
    assert finding.detail == "its hash does not fit its content"


@pytest.mark.parametrize("sequence", [9, 10, 11, 40])
def test_a_journal_that_is_gone_at_the_edge_of_a_segment_is_missed(long_ledger: OwnLedger, sequence: int) -> None:
    long_ledger.tamper(f"DELETE FROM billing.journal WHERE sequence = {sequence}")

    findings = {finding.check: finding for finding in verify_ledger().findings}

    assert "missing" in findings["streams"].detail


def test_a_chain_recomputed_inside_one_segment_does_not_reach_the_next(long_ledger: OwnLedger) -> None:
    long_ledger.tamper("UPDATE billing.journal SET hash = sha256('forged') WHERE sequence = 10")

    [finding] = [finding for finding in verify_ledger().findings if finding.check == "streams"]

    assert "sequence 10)" in finding.where
