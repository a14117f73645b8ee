"""Dead letters: rows under a lease, attempts that count and attempts that do not, poison, people's decisions."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from structlog.testing import capture_logs

from billing.domain.errors import LostLease, Refused, WrongState
from billing.services import dead_letters
from billing.services.dead_letters import DeadLetter
from tests.factories import ledger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_queues() -> None:
    """Letters of other tests are put away, so that what is due is this test's."""
    ledger.rows("UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id")


def write(subject_id: str = "", **changes: Any) -> str:
    subject_id = subject_id or ledger.unique("subject")
    values = {"queue": "finalize", "reason": "insufficient_funds", "payload": {"schema_version": 1}, **changes}
    return dead_letters.enqueue(subject_id=subject_id, **values)


def make_due(letter_id: str) -> None:
    ledger.rows(
        "UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() - interval '1 second' WHERE id = %s"
        " RETURNING id",
        letter_id,
    )


def lease(owner: str = "w1") -> DeadLetter:
    [letter] = dead_letters.due("finalize", owner=owner)
    return letter


def delay_of(letter_id: str) -> timedelta:
    return ledger.one("SELECT next_retry_at - clock_timestamp() FROM billing.dead_letter WHERE id = %s", letter_id)[0]


def test_a_letter_is_due_about_a_second_after_it_was_written() -> None:
    letter_id = write()

    assert timedelta(seconds=0.5) < delay_of(letter_id) < timedelta(seconds=1.3)
    assert dead_letters.due("finalize", owner="w1") == []
    make_due(letter_id)
    assert lease().id == letter_id


def test_the_same_subject_has_one_open_letter() -> None:
    first = write("ent_1x")

    assert write("ent_1x") == first
    assert write("ent_1x", queue="settlement") != first
    make_due(first)
    dead_letters.resolve(lease())
    assert write("ent_1x") != first


def test_a_letter_in_a_rolled_back_transaction_was_never_written() -> None:
    with transaction.atomic():
        letter_id = write()
        transaction.set_rollback(True)

    assert dead_letters.letter_of(letter_id) is None


def test_eight_workers_that_ask_at_once_get_different_letters() -> None:
    for letter_id in [write() for _ in range(40)]:
        make_due(letter_id)
    barrier, leased = threading.Barrier(8), []

    def work(owner: str) -> None:
        from django.db import connection

        barrier.wait()
        leased.extend([letter.id for letter in dead_letters.due("finalize", 5, owner=owner)])
        connection.close()

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(leased) == 40
    assert Counter(leased).most_common(1)[0][1] == 1


def test_a_leased_letter_returns_when_its_worker_died() -> None:
    make_due(write())
    letter = lease("w1")

    assert dead_letters.due("finalize", owner="w2") == []
    ledger.rows(
        "UPDATE billing.dead_letter SET lease_until = clock_timestamp() - interval '1 s' WHERE id = %s RETURNING id",
        letter.id,
    )
    assert lease("w2").id == letter.id
    with pytest.raises(LostLease):
        dead_letters.resolve(letter)
    assert dead_letters.letter_of(letter.id).state == "pending"


def test_refusals_count_back_off_and_poison_at_the_fifth() -> None:
    letter_id, delays = write(), []
    with capture_logs() as logs:
        for _ in range(5):
            make_due(letter_id)
            updated = dead_letters.record_attempt(lease(), error="wrong_state", is_refusal=True)
            delays.append(round(delay_of(letter_id).total_seconds(), 1))

    assert (updated.state, updated.attempt, updated.last_error) == ("poisoned", 5, "wrong_state")
    for delay, planned in zip(delays[:4], [2, 4, 8, 16], strict=True):
        assert planned * 0.75 < delay <= planned * 1.2
    [poison] = [entry for entry in logs if entry["event"] == "billing_finalize_poison"]
    assert (poison["metric"], poison["severity"]) == ("billing_finalize_poison", "critical")
    make_due(letter_id)
    assert dead_letters.due("finalize", owner="w1") == []


def test_an_outage_counts_nothing_however_long_it_lasts() -> None:
    letter_id = write()
    for _ in range(20):
        make_due(letter_id)
        dead_letters.record_attempt(lease(), error="database gone", is_refusal=False)

    letter = dead_letters.letter_of(letter_id)
    assert (letter.state, letter.attempt) == ("pending", 0)
    assert timedelta(seconds=3) < delay_of(letter_id) < timedelta(seconds=7)


def test_oldest_letters_come_first() -> None:
    written = [write() for _ in range(5)]
    for age, letter_id in enumerate(written):
        ledger.rows(
            "UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() - make_interval(secs => %s)"
            " WHERE id = %s RETURNING id",
            10 + age,
            letter_id,
        )

    assert [letter.id for letter in dead_letters.due("finalize", 3, owner="w")] == written[::-1][:3]


def test_a_letter_of_an_unknown_schema_is_parked_not_dropped() -> None:
    letter_id = write(payload={"schema_version": 2, "from": "a newer version"})
    make_due(letter_id)

    assert dead_letters.due("finalize", owner="w1") == []
    letter = dead_letters.letter_of(letter_id)
    assert (letter.state, letter.is_parked) == ("pending", True)


def test_a_person_lets_a_poisoned_letter_be_tried_again() -> None:
    letter_id = write()
    for _ in range(5):
        make_due(letter_id)
        dead_letters.record_attempt(lease(), error="no", is_refusal=True)

    decided = dead_letters.retry(letter_id, by="ada", reason="cap was raised")

    assert (decided.state, decided.attempt, decided.resolved_by, decided.resolution) == (
        "pending",
        0,
        "ada",
        "cap was raised",
    )
    assert lease().id == letter_id


def test_a_voided_letter_is_gone_for_good() -> None:
    letter_id = write()

    dead_letters.void(letter_id, by="ada", reason="test payment")

    make_due(letter_id)
    assert dead_letters.due("finalize", owner="w1") == []
    with pytest.raises(WrongState):
        dead_letters.retry(letter_id, by="ada", reason="again")
    with pytest.raises(WrongState):
        dead_letters.void("dlq_unknown", by="ada", reason="again")


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ada", ""), ("ada", "  ")])
def test_a_decision_without_a_name_or_a_reason_is_refused(by: str, reason: str) -> None:
    letter_id = write()

    with pytest.raises(Refused):
        dead_letters.void(letter_id, by=by, reason=reason)

    assert dead_letters.letter_of(letter_id).state == "pending"


def test_a_letter_is_escalated_once_after_a_day() -> None:
    old, young = write(), write()
    ledger.rows(
        "UPDATE billing.dead_letter SET created_at = clock_timestamp() - interval '25 hours' WHERE id = %s"
        " RETURNING id",
        old,
    )

    escalated = [letter.id for letter in dead_letters.escalate_overdue()]

    assert old in escalated
    assert young not in escalated
    assert old not in [letter.id for letter in dead_letters.escalate_overdue()]


def test_reserves_are_refused_at_the_risk_limit_and_admitted_below(settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "FINALIZE_RISK_LIMIT_MICRO_USD": 5_000_000}

    dead_letters.require_risk_headroom(4_999_999)
    with pytest.raises(dead_letters.PendingRiskCap) as refusal:
        dead_letters.require_risk_headroom(5_000_000)

    assert (refusal.value.code, refusal.value.facts) == ("pending_risk_cap", {"pending": 5_000_000, "cap": 5_000_000})
