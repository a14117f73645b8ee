"""Callers that die (faults rows 7 and 8, ledger fault 15): before COMMIT nothing is there, a retry finds what is."""

import signal
from collections.abc import Callable

import pytest

from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger
from tests.faults.conftest import Appender

pytestmark = pytest.mark.slow


def test_a_caller_killed_between_insert_and_commit_leaves_nothing(
    own_ledger: OwnLedger, appender: Callable[..., Appender]
) -> None:
    append([ledger.suspense_journal()])
    dying = appender()
    dying.tell("stop_before_commit", key="never-committed")
    assert dying.hear() == {"status": "ok"}

    dying.signal(signal.SIGKILL)

    [result] = append([ledger.suspense_journal(key="never-committed")])
    assert result.status == "ok"
    assert ledger.balance("system:suspense") == 10
    assert verify_ledger().is_clean


def test_a_caller_killed_after_commit_and_before_it_heard_gets_the_first_result_by_asking_again(
    own_ledger: OwnLedger, appender: Callable[..., Appender]
) -> None:
    dying = appender()
    dying.tell("stop_before_hearing", key="committed-unheard")
    assert dying.hear() == {"answered": True}

    dying.signal(signal.SIGKILL)

    [(journal_id, stream, sequence)] = ledger.rows(
        "SELECT id, stream, sequence FROM billing.journal WHERE key = 'committed-unheard'"
    )
    [again] = append([ledger.suspense_journal(5, key="committed-unheard")])
    assert (again.status, again.journal_id, again.stream, again.sequence) == ("exists", journal_id, stream, sequence)
    assert ledger.balance("system:suspense") == 5
    assert verify_ledger().is_clean
