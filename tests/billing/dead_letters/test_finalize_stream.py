"""The stream of the finalize queue: it wakes, it shows what is held, it can be lost, and it never decides."""

from collections.abc import Iterator

import pytest
import redis
from django.db import connection, transaction

from billing.services import dead_letters, finalize_drain, finalize_stream
from billing.services.finalize_drain import drain_finalize, finalize_breaker
from telemetry.configuration import loa, redis_key
from tests.factories import ledger

pytestmark = pytest.mark.django_db(transaction=True)

BAD_PAYLOAD = {"schema_version": 1}


@pytest.fixture(autouse=True)
def client() -> Iterator[redis.Redis]:
    """Redis with no stream in it, and no letter of another test."""
    ledger.rows("UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id")
    connected = redis.Redis.from_url(loa("REDIS_URL"))
    connected.delete(redis_key("billing:dlq"), redis_key("billing:dlq:poison"))
    yield connected
    ledger.rows("UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id")
    connected.close()


def write() -> str:
    return dead_letters.enqueue(
        queue="finalize", subject_id=ledger.unique("ent"), reason="insufficient_funds", payload=BAD_PAYLOAD
    )


def make_due() -> None:
    ledger.rows("UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() WHERE state = 'pending' RETURNING id")


def test_the_stream_and_its_group_have_the_names_of_the_plan(client: redis.Redis) -> None:
    letter_id = write()

    finalize_stream.take(10)

    [(_, fields)] = client.xrange("billing:dlq")
    assert fields == {b"dead_letter_id": letter_id.encode()}
    assert [group["name"] for group in client.xinfo_groups("billing:dlq")] == [b"billing_finalize_group"]
    assert finalize_stream.POISON_STREAM == "billing:dlq:poison"


def test_a_letter_whose_transaction_was_undone_is_announced_to_nobody(client: redis.Redis) -> None:
    with transaction.atomic():
        write()
        transaction.set_rollback(True)

    assert client.xlen("billing:dlq") == 0


def test_an_entry_stays_pending_while_its_letter_waits_and_is_acknowledged_when_it_is_poisoned(
    client: redis.Redis,
) -> None:
    letter_id = write()
    counts = []
    for _ in range(5):
        make_due()
        drain_finalize()
        counts.append(finalize_stream.status().pending)

    assert dead_letters.letter_of(letter_id).state == "poisoned"
    assert counts[:4] == [1, 1, 1, 1]
    # The entry was read by the first run; the run that ends the letter claims it after its idle time.
    assert finalize_stream.status().pending == 1
    finalize_drain._acknowledge_ended(_claimed(client))
    status = finalize_stream.status()
    assert (status.length, status.pending, status.poisoned) == (0, 0, 1)
    [(_, fields)] = client.xrange("billing:dlq:poison")
    assert (fields[b"dead_letter_id"], fields[b"attempts"]) == (letter_id.encode(), b"5")


def _claimed(client: redis.Redis) -> list[finalize_stream.Entry]:
    """What a later run claims, without the wait."""
    claimed = client.xautoclaim("billing:dlq", finalize_stream.GROUP, "later", 0)[1]
    return [finalize_stream.Entry(one.decode(), fields[b"dead_letter_id"].decode()) for one, fields in claimed]


def test_a_letter_that_ended_elsewhere_is_acknowledged_by_the_run_that_reads_its_entry(client: redis.Redis) -> None:
    letter_id = write()
    dead_letters.void(letter_id, by="ada", reason="booked by hand")

    drain_finalize()

    status = finalize_stream.status()
    assert (status.length, status.pending) == (0, 0)


def test_what_a_dead_consumer_held_is_claimed_by_another(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    letter_id = write()
    assert [entry.letter_id for entry in finalize_stream.take(10, consumer="died")] == [letter_id]
    assert finalize_stream.take(10, consumer="lives") == []

    monkeypatch.setattr(finalize_stream, "CLAIM_IDLE_MS", 0)

    assert [entry.letter_id for entry in finalize_stream.take(10, consumer="lives")] == [letter_id]
    [held] = client.xpending_range("billing:dlq", finalize_stream.GROUP, "-", "+", 10)
    assert (held["consumer"], held["times_delivered"]) == (b"lives", 2)


def test_an_entry_that_nobody_can_read_goes_to_the_poison_stream(client: redis.Redis) -> None:
    client.xadd("billing:dlq", {"something": "else"})
    client.xadd("billing:dlq", {"dead_letter_id": b"\xff\xfe"})

    assert finalize_stream.take(10) == []

    assert (client.xlen("billing:dlq"), client.xlen("billing:dlq:poison")) == (0, 2)
    assert {fields[b"reason"] for _, fields in client.xrange("billing:dlq:poison")} == {b"unreadable"}


def test_a_flush_loses_the_stream_and_no_letter(client: redis.Redis) -> None:
    letter_id = write()
    finalize_stream.take(10)
    client.flushall()
    make_due()

    drain_finalize()

    assert dead_letters.letter_of(letter_id).attempt == 1
    assert finalize_stream.status().is_reachable


def test_without_redis_the_rows_are_enough(settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}
    letter_id = write()
    make_due()

    drain_finalize()

    assert dead_letters.letter_of(letter_id).attempt == 1
    assert finalize_stream.status() == finalize_stream.StreamStatus(is_reachable=False)


def test_a_run_takes_no_more_than_the_pace_allows(settings) -> None:
    settings.LOA = {**settings.LOA, "FINALIZE_DRAIN_PER_SECOND": 3}
    for _ in range(8):
        write()
    make_due()
    ledger.rows(
        "UPDATE billing_queuepace SET allowance = 0, refilled_at = clock_timestamp() - interval '1 minute' RETURNING 1"
    )

    first, second = drain_finalize(), drain_finalize()

    assert (first.refused, second.refused) == (3, 0)


def test_three_outages_open_the_circuit_and_the_queue_is_left_alone(monkeypatch: pytest.MonkeyPatch, client) -> None:
    from billing.domain.errors import LedgerUnavailable

    def unavailable(_payload: object) -> None:
        raise LedgerUnavailable(sqlstate="55P03")

    monkeypatch.setattr(finalize_drain, "retry_finalize", unavailable)
    letter_id = write()
    paused = []
    for _ in range(4):
        make_due()
        paused.append(drain_finalize())

    assert [report.paused for report in paused] == [1, 1, 1, 0]
    assert paused[3].is_held_back
    assert dead_letters.letter_of(letter_id).attempt == 0
    client.delete(redis_key(f"circuit:{loa('ENVIRONMENT')}:{finalize_breaker.name}"))
    connection.close()
