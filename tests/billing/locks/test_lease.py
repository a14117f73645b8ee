"""The lease of a stream: one holder, and nobody frees or extends another's."""

import redis

from billing.locks import lease


def test_the_first_taker_holds_the_lease_for_thirty_seconds(redis_client: redis.Redis) -> None:
    assert lease.take_lease(redis_client, stream=0, holder="a")
    assert not lease.take_lease(redis_client, stream=0, holder="b")

    assert redis_client.get("wal:writer:lock") == b"a"
    assert 29_000 < redis_client.pttl("wal:writer:lock") <= 30_000


def test_only_the_holder_extends_its_lease(redis_client: redis.Redis) -> None:
    lease.take_lease(redis_client, stream=0, holder="a")
    redis_client.pexpire("wal:writer:lock", 5_000)

    assert not lease.extend_lease(redis_client, stream=0, holder="b")
    assert redis_client.pttl("wal:writer:lock") <= 5_000
    assert lease.extend_lease(redis_client, stream=0, holder="a")
    assert redis_client.pttl("wal:writer:lock") > 29_000


def test_a_late_release_leaves_the_successors_lease_alone(redis_client: redis.Redis) -> None:
    lease.take_lease(redis_client, stream=0, holder="a")
    redis_client.delete("wal:writer:lock")
    lease.take_lease(redis_client, stream=0, holder="b")

    assert not lease.release_lease(redis_client, stream=0, holder="a")
    assert redis_client.get("wal:writer:lock") == b"b"
    assert lease.release_lease(redis_client, stream=0, holder="b")
    assert redis_client.get("wal:writer:lock") is None


def test_streams_are_leased_apart_from_each_other(redis_client: redis.Redis) -> None:
    assert lease.take_lease(redis_client, stream=0, holder="a")
    assert lease.take_lease(redis_client, stream=1, holder="b")

    assert redis_client.get("wal:writer:lock:development:1") == b"b"
