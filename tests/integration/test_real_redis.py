"""What only a real Redis can show: groups and acknowledgements, leases, the fence, and scripts under contention."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.db import connection

from billing.locks import fencing, lease
from billing.locks.errors import FencingTokenCorrupt
from billing.services import credit_cache, dead_letters, finalize_stream
from outbound.breaker import Policy
from outbound.breaker_state import Breaker, CircuitOpen
from telemetry.configuration import redis_key
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of, repair
from tests.factories import ledger, queues

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `count` threads that begin together come to."""
    barrier, answers = threading.Barrier(count), []

    def run(number: int) -> None:
        barrier.wait()
        answers.append(work(number))
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.fixture(autouse=True)
def _own_keys(redis_server: redis.Redis) -> None:
    queues.empty()


def test_a_dead_letter_is_read_by_its_group_booked_and_acknowledged(redis_server: redis.Redis) -> None:
    call = deferred()
    repair(call)
    assert redis_server.xlen("billing:dlq") == 1

    assert queues.work_off().booked == 1

    [group] = redis_server.xinfo_groups("billing:dlq")
    assert (group["name"], group["pending"], group["consumers"]) == (b"billing_finalize_group", 0, 1)
    assert redis_server.xlen("billing:dlq") == 0
    assert letter_of(call).state == "done"


def test_two_consumers_never_read_the_same_entry_and_a_dead_ones_is_claimed(
    redis_server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        finalize_stream.announce(f"dlq_{number:026d}")

    read = at_once(4, lambda number: finalize_stream.take(20, consumer=f"worker-{number}"))

    letters = [entry.letter_id for entries in read for entry in entries]
    assert len(letters) == len(set(letters)) == 20
    monkeypatch.setattr(finalize_stream, "CLAIM_IDLE_MS", 0)
    claimed = finalize_stream.take(50, consumer="heir")
    assert {entry.letter_id for entry in claimed} == set(letters)
    assert finalize_stream.acknowledge(claimed) == 20


def test_one_of_sixteen_takes_the_lease_and_only_rising_tokens_are_accepted(redis_server: redis.Redis) -> None:
    stream = 7_000
    keys = fencing.fence_keys(stream)
    redis_server.delete(keys.lease, keys.issuer, keys.last_accepted)

    taken = at_once(
        16, lambda number: lease.take_lease(redis_server, stream=stream, holder=f"writer-{number}", milliseconds=30_000)
    )

    assert sorted(taken) == [False] * 15 + [True]
    assert 0 < redis_server.pttl(keys.lease) <= 30_000
    holder = redis_server.get(keys.lease).decode()
    tokens = [fencing.issue_token(redis_server, stream=stream, holder=holder, floor=5).token for _ in range(3)]
    assert tokens == [6, 7, 8]
    assert fencing.issue_token(redis_server, stream=stream, holder="stranger", floor=5).token is None
    redis_server.set(keys.last_accepted, "nan")
    with pytest.raises(FencingTokenCorrupt):
        fencing.issue_token(redis_server, stream=stream, holder=holder, floor=5)
    redis_server.delete(keys.lease, keys.issuer, keys.last_accepted)


def test_fifty_notes_at_once_sum_exactly_and_none_passes_the_cap(redis_server: redis.Redis, settings) -> None:
    settings.LOA = {**settings.LOA, "MAX_CREDIT_BALANCE_MICRO_USDC": 1_000}
    wallet = ledger.new_wallet()

    def issue(_number: int) -> int | None:
        try:
            return credit_cache.add_issued_note(wallet, 30, denomination=ledger.USDC)
        except credit_cache.CreditNoteCapExceeded:
            return None

    balances = at_once(50, issue)

    accepted = sorted(balance for balance in balances if balance is not None)
    assert accepted == list(range(30, 1_000, 30))
    key = credit_cache.balance_key(wallet, denomination=ledger.USDC)
    assert int(redis_server.get(key)) == 990
    assert redis_server.ttl(key) > 0


def test_of_two_hundred_callers_at_half_open_one_is_the_probe(redis_server: redis.Redis) -> None:
    circuit = Breaker("stampede", Policy(failures=1, open_ms=1))
    circuit.failed(circuit.admit())

    def ask(_number: int) -> int:
        try:
            return circuit.admit().admission
        except CircuitOpen:
            return -1

    admissions = at_once(200, ask)

    assert len([one for one in admissions if one > 0]) == 1
    redis_server.delete(redis_key("circuit:test:stampede"))


def test_a_letter_that_is_poisoned_leaves_the_stream_for_the_poison_stream(redis_server: redis.Redis) -> None:
    letter_id = dead_letters.enqueue(
        queue="finalize", subject_id=ledger.unique("ent"), reason="refused", payload={"schema_version": 1}
    )
    queues.work_off()

    [(_, poisoned)] = redis_server.xrange("billing:dlq:poison")
    assert (poisoned[b"dead_letter_id"], poisoned[b"attempts"]) == (letter_id.encode(), b"5")
