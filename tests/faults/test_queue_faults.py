"""The finalize queue in trouble (rows 29 to 38): backlogs, outages, lost wake-ups, two beats, poison among the healthy.

FAULT_LETTERS sets the size of the backlog; by hand it is 5,000, in the suite a tenth of that.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings as site
from django.db import connection

from billing import tasks
from billing.domain import accounts
from billing.domain.journal import EntryMove, Journal, JournalKind
from billing.domain.lifecycle import EntryState
from billing.locks.fencing import fence_keys
from billing.locks.stream_rows import stream_rows
from billing.selectors.reports import conservation, pending_risk
from billing.services import dead_letters, reservations
from billing.services.append_journal import append
from billing.services.dead_letters import PendingRiskCap
from billing.services.finalize_drain import drain_finalize, finalize_breaker
from billing.services.settlements import book_settlements
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of, repair, spoil
from tests.factories import ledger, queues
from tests.factories.ledger import PaidCall
from tests.suite_report import percentile
from tests.workers.task_process import ROOT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

LETTERS = int(os.environ.get("FAULT_LETTERS", "500"))
HELD, COST = 2_000, 700
BATCH = 100


@pytest.fixture(scope="module", autouse=True)
def payment_table(django_db_setup: None) -> None:
    ledger.make_payment_table()


@pytest.fixture(autouse=True)
def _empty_queues(transactional_db: None) -> Iterator[None]:
    queues.empty()
    yield
    queues.empty()


def backlog(count: int) -> list[PaidCall]:
    """Served calls of an outage: settled, served, and not booked, with a letter each."""
    calls = [PaidCall(amount=HELD) for _ in range(count)]
    for place in range(0, count, BATCH):
        part = calls[place : place + BATCH]
        settled = book_settlements([call.settled_log(transition=None) for call in part])
        deferral = append([deferral_of(call) for call in part])
        assert all(result.is_written for result in (*settled, *deferral))
    for call in calls:
        dead_letters.enqueue(
            queue="finalize",
            subject_id=call.entry_id,
            entry_id=call.entry_id,
            reason="outage",
            payload={
                "payment_id": call.payment_id,
                "entry_id": call.entry_id,
                "account_id": call.account_id,
                "wallet": call.wallet,
                "denomination": ledger.USDC,
                "held_micro_usdc": str(HELD),
                "cost_micro_usdc": str(COST),
                "correlation_id": f"quo_{call.payment_id}",
            },
        )
    return calls


def deferral_of(call: PaidCall) -> Journal:
    path = (EntryState.RESERVE_HELD, EntryState.COMMITTED, EntryState.FINALIZE_PENDING)
    return Journal(
        kind=JournalKind.FINALIZE_DEFERRED,
        key=f"deferred:{call.entry_id}",
        entry_moves=tuple(EntryMove(call.entry_id, start, end, cost=COST) for start, end in itertools.pairwise(path)),
    )


def states_of(calls: list[PaidCall]) -> set[str]:
    return {ledger.entry_state(call.entry_id) for call in calls}


def test_a_backlog_is_drained_at_the_configured_pace_and_new_payments_go_on(settings) -> None:
    pace = 200
    settings.LOA = {
        **settings.LOA,
        "FINALIZE_DRAIN_PER_SECOND": pace,
        "FINALIZE_RISK_LIMIT_MICRO_USD": LETTERS * COST * 2,
    }
    calls = backlog(LETTERS)
    account_id = ledger.prepaid_account(1_000_000)
    is_draining, latencies, booked = threading.Event(), [], []
    is_draining.set()
    queues.make_due()

    def drain() -> None:
        while is_draining.is_set():
            report = drain_finalize()
            booked.append(report.booked)
            if report.booked == 0:
                time.sleep(0.05)
        connection.close()

    def pay() -> float:
        began, entry_id, facts = time.perf_counter(), new_id("ent"), {"account_id": account_id, "correlation_id": "q"}
        reservations.reserve(entry_id=entry_id, amount_micro_usd=10, **facts)
        reservations.commit(entry_id=entry_id, held_micro_usd=10, cost_micro_usd=10, **facts)
        return time.perf_counter() - began

    def keep_paying() -> None:
        while is_draining.is_set():
            latencies.append(pay())
        connection.close()

    calm = [pay() for _ in range(20)]
    threads = [threading.Thread(target=work) for work in (drain, drain, keep_paying)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    while sum(booked) < LETTERS and time.perf_counter() - began < 240:
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    is_draining.clear()
    for thread in threads:
        thread.join()

    assert sum(booked) == LETTERS
    assert sum(booked) <= pace * (seconds + 1.5)  # the first second's bucket is full at the start
    assert len(latencies) > LETTERS / 50  # new payments all the while
    assert percentile(latencies, 50) < 30 * percentile(calm, 95)  # with two drains and this test on the same cores
    assert states_of(calls) == {"FINALIZE_ACKED"}
    assert {tuple(ledger.notes_of(call.wallet)) for call in calls[:50]} == {(("change", HELD - COST, HELD - COST),)}
    assert pending_risk() == 0
    assert conservation().is_conserved


def test_with_the_default_limit_new_reserves_are_refused_and_admitted_again_as_it_drains(settings) -> None:
    limit = 40 * COST
    settings.LOA = {**settings.LOA, "FINALIZE_RISK_LIMIT_MICRO_USD": limit}
    backlog(50)
    account_id = ledger.prepaid_account(1_000)
    reserve = {"account_id": account_id, "amount_micro_usd": 1, "correlation_id": "quo_cap"}

    with pytest.raises(PendingRiskCap) as refusal:
        reservations.reserve(entry_id=new_id("ent"), **reserve)
    queues.make_due()
    while pending_risk() >= limit:
        drain_finalize(limit=5)

    reservations.reserve(entry_id=new_id("ent"), **reserve)
    assert refusal.value.facts == {"pending": 50 * COST, "cap": limit}
    assert ledger.balance(accounts.held(account_id), accounts.PREPAID) == 1


def test_an_outage_of_ten_minutes_poisons_nothing_and_counts_no_attempt() -> None:
    calls = backlog(20)
    client = redis.Redis.from_url(loa("REDIS_URL"))
    keys = [fence_keys(row.stream).last_accepted for row in stream_rows()]
    client.mset(dict.fromkeys(keys, "corrupt"))
    tried = 0
    try:
        for round_number in range(120):  # a run every five seconds; the circuit lets one through every thirty
            queues.make_due()
            if round_number % 6 == 5:
                finalize_breaker.force_close()
            tried += drain_finalize().paused
    finally:
        client.delete(*keys)

    letters = [letter_of(call) for call in calls]
    assert tried > 0
    assert {(letter.state, letter.attempt) for letter in letters} == {("pending", 0)}
    finalize_breaker.force_close()
    assert queues.work_off().booked == 20
    assert states_of(calls) == {"FINALIZE_ACKED"}


def test_a_poisoned_letter_among_a_hundred_keeps_none_of_the_others() -> None:
    calls = backlog(99)
    bad = deferred()
    spoil(bad)
    queues.work_off()

    assert states_of(calls) == {"FINALIZE_ACKED"}
    assert (letter_of(bad).state, letter_of(bad).attempt) == ("poisoned", 5)
    assert "KeyError" in letter_of(bad).last_error


def test_a_broker_that_is_down_costs_the_request_little_and_the_sweep_finds_the_letter() -> None:
    environment = os.environ | {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "tests.faults.deferring_process"]

    child = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)

    facts = json.loads(child.stdout.splitlines()[-1])
    assert facts["seconds"] < 15  # two tries to connect, not the minutes of a client that waits for its broker
    ledger.rows(
        'UPDATE billing.dead_letter SET payload = payload || \'{"cost_micro_usdc": "700"}\' WHERE id = %s RETURNING id',
        facts["letter"],
    )
    assert queues.work_off().booked == 1
    assert dead_letters.letter_of(facts["letter"]).state == "done"
    assert ledger.notes_of(facts["wallet"]) == [("change", 1_300, 1_300)]


def test_two_beats_make_every_sweep_run_twice_and_have_one_effect(tmp_path: Path) -> None:
    call = deferred()
    repair(call)
    queues.make_due()
    beats, logs = [], [tmp_path / f"beat-{number}.log" for number in range(2)]
    for number in range(2):
        command = [sys.executable, "-m", "celery", "-A", "loa_site.celery", "beat", "--loglevel", "warning"]
        command += ["--schedule", str(tmp_path / f"schedule-{number}"), "--pidfile", ""]
        with logs[number].open("wb") as log:
            beats.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
    client = redis.Redis.from_url(site.CELERY_BROKER_URL)
    try:
        deadline = time.monotonic() + 200
        while messages_of(client, "billing.drain_finalize") < 2:
            assert time.monotonic() < deadline, [log.read_text()[-2000:] for log in logs]
            time.sleep(0.2)
    finally:
        for beat in beats:
            beat.kill()
            beat.wait(10)

    for _ in range(2):
        tasks.drain_finalize()
        tasks.expire()
        tasks.escalate_dead_letters()
        tasks.deliver_webhooks()

    assert letter_of(call).state == "done"
    assert ledger.kinds_of(call.entry_id).count("billing_commit") == 1
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def messages_of(client: redis.Redis, task: str) -> int:
    """How many messages of a task wait in the default queue, of its priority."""
    return sum(task in json.loads(message)["headers"]["task"] for message in client.lrange("default", 0, -1))
