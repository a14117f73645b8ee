"""Working off the finalize queue: one effect, refusals count, outages do not, poison marks the entry."""

import json
import threading
from collections.abc import Iterator

import pytest
import redis
from django.db import connection

from billing.domain import accounts
from billing.domain.errors import FinalizeDeferred
from billing.locks.fencing import fence_keys
from billing.locks.stream_rows import stream_rows
from billing.selectors.reports import pending_risk
from billing.services import dead_letters, reservations
from billing.services.dead_letters import PendingRiskCap
from billing.services.finalization import finalize, retry_finalize
from billing.services.finalize_drain import DrainReport, drain_finalize, finalize_breaker
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


@pytest.fixture(autouse=True)
def _empty_queues() -> Iterator[None]:
    """Before, so that what is due is this test's; after, so that its risk is nobody else's."""
    put_away = "UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id"
    ledger.rows(put_away)
    yield
    ledger.rows(put_away)


TOO_MUCH = 2**63 - 1  # revenue beyond the largest balance: the ledger refuses to book such a cost


def deferred() -> PaidCall:
    """A served call whose cost the ledger refuses to book, so that a dead letter holds it."""
    earlier = PaidCall().settle()
    finalize(payment=earlier.request(1))
    call = PaidCall(amount=2_000).settle()
    with pytest.raises(FinalizeDeferred):
        finalize(payment=call.request(TOO_MUCH))
    make_due()
    return call


def repair(call: PaidCall, **changes: str) -> None:
    """Correct a letter's payload, as staff would; by default the cost becomes what the work really cost."""
    ledger.rows(
        "UPDATE billing.dead_letter SET payload = payload || %s::jsonb WHERE subject_id = %s RETURNING id",
        json.dumps(changes or {"cost_micro_usdc": "700"}),
        call.entry_id,
    )


def spoil(call: PaidCall) -> None:
    """Make a letter's payload unreadable."""
    ledger.rows(
        "UPDATE billing.dead_letter SET payload = payload - 'wallet' WHERE subject_id = %s RETURNING id", call.entry_id
    )


def make_due() -> None:
    ledger.rows(
        "UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() - interval '1 second'"
        " WHERE state = 'pending' RETURNING id"
    )


def letter_of(call: PaidCall) -> dead_letters.DeadLetter:
    [(letter_id,)] = ledger.rows("SELECT id FROM billing.dead_letter WHERE subject_id = %s", call.entry_id)
    return dead_letters.letter_of(letter_id)


def test_a_deferred_call_is_booked_with_its_change_and_counts_as_risk_until_then() -> None:
    before = pending_risk()
    call = deferred()
    assert (ledger.entry_state(call.entry_id), pending_risk() - before) == ("FINALIZE_PENDING", TOO_MUCH)
    repair(call)

    assert drain_finalize() == DrainReport(booked=1)

    assert ledger.entry_state(call.entry_id) == "FINALIZE_ACKED"
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
    assert ledger.balance(accounts.held(call.account_id)) == 0
    assert (letter_of(call).state, pending_risk() - before) == ("done", 0)
    assert drain_finalize() == DrainReport()


def test_eight_drains_at_once_book_once() -> None:
    call = deferred()
    repair(call)
    barrier, reports = threading.Barrier(8), []

    def drain() -> None:
        barrier.wait()
        reports.append(drain_finalize())
        connection.close()

    threads = [threading.Thread(target=drain) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(report.booked for report in reports) == 1
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def test_a_worker_that_died_after_booking_leaves_nothing_to_book_twice() -> None:
    call = deferred()
    repair(call)
    retry_finalize(letter_of(call).payload)

    assert drain_finalize() == DrainReport(booked=1)

    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
    assert ledger.kinds_of(call.entry_id).count("billing_commit") == 1


def test_a_fence_that_lets_nobody_write_pauses_the_queue_and_counts_nothing() -> None:
    calls = [deferred(), deferred()]
    for call in calls:
        repair(call)
    client = redis.Redis.from_url(loa("REDIS_URL"))
    keys = [fence_keys(row.stream).last_accepted for row in stream_rows()]
    client.mset(dict.fromkeys(keys, "abc"))
    try:
        for _ in range(3):
            make_due()
            assert drain_finalize() == DrainReport(paused=2)
        for _ in range(7):
            make_due()
            assert drain_finalize() == DrainReport(is_held_back=True)
    finally:
        client.delete(*keys)

    assert [(letter_of(one).state, letter_of(one).attempt) for one in calls] == [("pending", 0)] * 2
    finalize_breaker.force_close()
    make_due()
    assert drain_finalize() == DrainReport(booked=2)


def test_a_bad_payload_is_poisoned_after_five_tries_and_others_flow() -> None:
    call, healthy = deferred(), deferred()
    spoil(call)
    repair(healthy)
    reports = []
    for _ in range(5):
        make_due()
        reports.append(drain_finalize())

    assert sum(report.booked for report in reports) == 1
    assert sum(report.poisoned for report in reports) == 1
    assert (letter_of(call).state, letter_of(call).attempt) == ("poisoned", 5)
    assert ledger.entry_state(call.entry_id) == "FINALIZE_FAILED"
    assert ledger.entry_state(healthy.entry_id) == "FINALIZE_ACKED"


def test_a_call_that_stays_refused_is_poisoned_and_booked_when_a_person_lets_it_be_tried_again() -> None:
    call = deferred()
    for _ in range(5):
        make_due()
        drain_finalize()
    assert (letter_of(call).state, ledger.entry_state(call.entry_id)) == ("poisoned", "FINALIZE_FAILED")
    repair(call)

    dead_letters.retry(letter_of(call).id, by="ada", reason="cost corrected")

    assert drain_finalize() == DrainReport(booked=1)
    assert ledger.entry_state(call.entry_id) == "FINALIZE_ACKED"
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def test_new_reserves_are_refused_at_the_risk_limit_and_admitted_again_as_the_queue_drains() -> None:
    account_id = ledger.prepaid_account(1_000)
    call = deferred()
    wanted = {"account_id": account_id, "amount_micro_usd": 100, "correlation_id": "quo_risk"}

    with pytest.raises(PendingRiskCap) as refusal:
        reservations.reserve(entry_id=new_id("ent"), **wanted)

    assert refusal.value.code == "pending_risk_cap"
    assert ledger.balance(accounts.held(account_id), accounts.PREPAID) == 0
    repair(call)
    assert drain_finalize() == DrainReport(booked=1)
    reservations.reserve(entry_id=new_id("ent"), **wanted)
    assert ledger.balance(accounts.held(account_id), accounts.PREPAID) == 100
