"""Threads share a batch; a leader that dies leaves nobody waiting for ever."""

import threading
import time

import pytest

from billing.domain.errors import BillingError, LedgerUnavailable, OutcomeUnknown
from billing.domain.journal import Result, ResultStatus
from billing.services.group_commit import BATCH_JOURNALS_MAX, Call, GroupCommit

OK = Result(ResultStatus.OK)


def _call(count=1):
    return Call([object()] * count)


def _answer(calls):
    for call in calls:
        call.results = [OK] * len(call.journals)


def _run(commit, call, outcomes):
    try:
        outcomes.append(commit.submit(call))
    except BillingError as error:
        outcomes.append(error)


def _start(commit, calls, outcomes):
    threads = [threading.Thread(target=_run, args=(commit, call, outcomes)) for call in calls]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    return threads


def test_one_alone_waits_for_nobody():
    batches = []
    commit = GroupCommit(lambda calls: (batches.append(len(calls)), _answer(calls)))

    assert commit.submit(_call()) == [OK]
    assert commit.submit(_call()) == [OK]
    assert batches == [1, 1]


def test_those_who_wait_are_written_together_by_the_next_leader():
    batches, gate, outcomes = [], threading.Event(), []

    def write(calls):
        batches.append(len(calls))
        gate.wait(5)
        _answer(calls)

    threads = _start(GroupCommit(write), [_call() for _ in range(5)], outcomes)
    gate.set()
    [thread.join(5) for thread in threads]

    assert batches == [1, 4]
    assert outcomes == [[OK]] * 5


def test_a_batch_is_bounded_and_a_large_call_goes_alone():
    batches, gate, outcomes = [], threading.Event(), []

    def write(calls):
        batches.append(sum(len(call.journals) for call in calls))
        gate.wait(5)
        _answer(calls)

    commit = GroupCommit(write)
    threads = _start(commit, [_call(), _call(BATCH_JOURNALS_MAX - 1), _call(1), _call(1)], outcomes)
    gate.set()
    [thread.join(5) for thread in threads]

    assert batches == [1, BATCH_JOURNALS_MAX, 1]


def test_an_error_of_the_batch_reaches_everybody_in_it_and_nobody_after_it():
    gate, outcomes, rounds = threading.Event(), [], []

    def write(calls):
        rounds.append(len(calls))
        gate.wait(5)
        if len(rounds) == 1:
            raise LedgerUnavailable(reason="gone")
        _answer(calls)

    threads = _start(GroupCommit(write), [_call() for _ in range(3)], outcomes)
    gate.set()
    [thread.join(5) for thread in threads]

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LedgerUnavailable", "list", "list"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_leader_that_is_stopped_leaves_its_batch_unknown_and_the_next_one_leads():
    gate, outcomes, rounds = threading.Event(), [], []

    def write(calls):
        rounds.append(len(calls))
        if len(rounds) == 1:
            gate.wait(5)
            raise SystemExit
        _answer(calls)

    threads = _start(GroupCommit(write), [_call() for _ in range(3)], outcomes)
    gate.set()
    [thread.join(5) for thread in threads]

    assert rounds == [1, 2]
    assert outcomes == [[OK], [OK]]


def test_a_follower_past_its_deadline_leads_itself():
    release, outcomes, rounds = threading.Event(), [], []

    def write(calls):
        rounds.append(len(calls))
        if len(rounds) == 1:
            release.wait(10)
        _answer(calls)

    commit = GroupCommit(write, follower_seconds=0.1)
    threads = _start(commit, [_call(), _call()], outcomes)
    threads[1].join(5)
    assert (rounds, outcomes) == ([1, 1], [[OK]])
    release.set()
    threads[0].join(5)

    assert outcomes == [[OK], [OK]]


def test_a_call_whose_leader_gave_no_answer_is_unknown():
    call = _call()

    with pytest.raises(OutcomeUnknown):
        call.outcome()
