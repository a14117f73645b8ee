"""The process's writer on real rows: tokens rise, a refusal lifts, a take-over ends the lease."""

import time

import pytest
import redis

from billing.domain.errors import StaleToken
from billing.locks.errors import FencingTokenCorrupt
from billing.locks.fencing import fence_keys
from billing.locks.stream_rows import acquire_stream, stream_row, stream_rows
from billing.locks.writer import StreamWriter, Ticket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def writer():
    made = StreamWriter()
    yield made
    made.release()


def refuse(times: int):
    """A send that the row refuses a number of times, and the tickets it saw."""
    tickets: list[Ticket] = []

    def send(ticket: Ticket) -> str:
        tickets.append(ticket)
        if len(tickets) <= times:
            raise StaleToken(stream=ticket.stream, token=ticket.token, row_token=ticket.token)
        return "written"

    return send, tickets


def test_a_lease_counts_only_after_the_row_took_its_first_token(writer: StreamWriter) -> None:
    ticket = writer.write(lambda ticket: ticket)

    row = stream_row(ticket.stream)
    assert (row.holder, row.epoch, row.is_leased) == (writer.holder, ticket.epoch, True)
    assert ticket.token == row.last_token + 1


def test_every_batch_has_a_higher_token(writer: StreamWriter) -> None:
    tokens = [writer.write(lambda ticket: ticket).token for _ in range(5)]

    assert tokens == list(range(tokens[0], tokens[0] + 5))


def test_two_writers_hold_two_streams(writer: StreamWriter) -> None:
    other = StreamWriter()
    try:
        streams = {writer.write(lambda ticket: ticket).stream, other.write(lambda ticket: ticket).stream}
    finally:
        other.release()

    assert len(streams) == 2


def test_a_released_stream_is_free_at_once(writer: StreamWriter, redis_client: redis.Redis) -> None:
    stream = writer.write(lambda ticket: ticket).stream

    writer.release()

    assert redis_client.get(fence_keys(stream).lease) is None
    assert not stream_row(stream).is_leased


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_stale_token_while_the_lease_is_ours_is_lifted_and_sent_again(writer: StreamWriter, refusals: int) -> None:
    send, tickets = refuse(refusals)

    assert writer.write(send) == "written"

    tokens = [ticket.token for ticket in tickets]
    assert tokens == sorted(set(tokens))
    assert len(tokens) == refusals + 1


def test_a_batch_is_sent_three_times_at_most(writer: StreamWriter) -> None:
    send, tickets = refuse(9)

    with pytest.raises(StaleToken):
        writer.write(send)

    assert len(tickets) == 3


def test_a_refusal_by_a_row_of_another_holder_is_not_sent_again(writer: StreamWriter) -> None:
    tickets: list[Ticket] = []

    def send(ticket: Ticket) -> None:
        tickets.append(ticket)
        acquire_stream("somebody-else", lease_seconds=1, stream=ticket.stream, token=ticket.token + 5)
        raise StaleToken(stream=ticket.stream, token=ticket.token, row_token=ticket.token + 5)

    with pytest.raises(StaleToken):
        writer.write(send)

    assert len(tickets) == 1
    assert writer.stream is None


def test_a_counter_put_back_is_lifted_above_the_row(writer: StreamWriter, redis_client: redis.Redis) -> None:
    first = writer.write(lambda ticket: ticket)
    keys = fence_keys(first.stream)
    redis_client.mset({keys.issuer: "0", keys.last_accepted: "0"})

    second = writer.write(lambda ticket: ticket)

    assert second.token > first.token
    assert redis_client.get(keys.issuer) == str(second.token).encode()


def test_a_last_accepted_token_ahead_of_the_row_is_passed(writer: StreamWriter, redis_client: redis.Redis) -> None:
    first = writer.write(lambda ticket: ticket)
    redis_client.set(fence_keys(first.stream).last_accepted, str(first.token + 1_000))

    assert writer.write(lambda ticket: ticket).token == first.token + 1_001


def test_a_corrupt_value_stops_the_writer_before_it_sends(writer: StreamWriter, redis_client: redis.Redis) -> None:
    stream = writer.write(lambda ticket: ticket).stream
    redis_client.set(fence_keys(stream).last_accepted, "abc")
    send, tickets = refuse(0)

    with pytest.raises(FencingTokenCorrupt):
        writer.write(send)

    assert tickets == []
    redis_client.delete(fence_keys(stream).last_accepted)


def test_without_redis_the_row_gives_the_lease_and_refuses_the_second(settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}
    first, second = StreamWriter(), StreamWriter()
    try:
        held, other = first.write(lambda ticket: ticket), second.write(lambda ticket: ticket)
        again = first.write(lambda ticket: ticket)
    finally:
        first.release()
        second.release()

    assert held.stream != other.stream
    assert (again.stream, again.epoch) == (held.stream, held.epoch)
    assert acquire_stream("third", lease_seconds=1, stream=held.stream) is not None
    assert {row.stream for row in stream_rows()} >= {held.stream, other.stream}


@pytest.mark.slow
def test_an_idle_writer_takes_its_row_anew_before_it_writes() -> None:
    writer = StreamWriter(lease_seconds=1, keepalive_seconds=0.2)
    try:
        first = writer.write(lambda ticket: ticket)
        time.sleep(1.2)
        second = writer.write(lambda ticket: ticket)
    finally:
        writer.release()

    assert (second.stream, second.epoch) == (first.stream, first.epoch + 1)
    assert second.token > first.token


@pytest.mark.slow
def test_the_lease_is_kept_alive_while_its_writer_lives(redis_client: redis.Redis) -> None:
    writer = StreamWriter(lease_seconds=1, keepalive_seconds=0.2)
    try:
        stream = writer.write(lambda ticket: ticket).stream
        time.sleep(1.5)
        holder = redis_client.get(fence_keys(stream).lease)
    finally:
        writer.release()

    assert holder == writer.holder.encode()
