"""On a real Redis cluster of three nodes every script and every command of ours finds its keys in one slot."""

import secrets
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from redis.exceptions import ClusterCrossSlotError

from accounts import throttles
from billing.checks import redis_prefix_keeps_keys_together
from billing.locks import fencing, lease
from billing.locks.errors import RedisUnavailable
from billing.locks.redis_client import redis_client as ledger_client
from billing.services import credit_cache, fence, finalize_stream
from loa_site.health import parts
from loa_site.operations import broker_section
from nft.services import detection
from outbound import redis_scripts
from outbound.breaker_state import Breaker
from outbound.redis_scripts import ask
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.own_ledger import forget_writers
from tests.scale.redis_cluster import ClusterNode, redis_cluster

WALLET, ASSET = "0x" + "ab" * 20, "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClusterNode]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(params=[0, 1, 2])
def cluster(request: pytest.FixtureRequest, nodes: list[ClusterNode], settings: LazySettings) -> Iterator[str]:
    """The settings of a site whose REDIS_URL names one node; two of the three do not have our slot. Yields a tag."""
    tag = f"{{loa-{secrets.token_hex(4)}}}:"
    settings.LOA = {
        **settings.LOA,
        "REDIS_URL": nodes[request.param].url,
        "REDIS_CLUSTER": True,
        "REDIS_KEY_PREFIX": tag,
    }
    redis_scripts.wake()
    yield tag
    redis_scripts.wake()


def keys_of(nodes: list[ClusterNode], tag: str) -> dict[str, int]:
    """Every key with that tag, and the number of the node that has it."""
    found = {}
    for number, node in enumerate(nodes):
        client = node.client()
        found |= {bytes(key).decode().removeprefix(tag): number for key in client.scan_iter(f"{tag}*")}
        client.close()
    return found


def test_keys_without_a_common_tag_are_refused_by_this_cluster(nodes: list[ClusterNode]) -> None:
    with pytest.raises(ClusterCrossSlotError):
        nodes[0].client().eval("return 1", 2, "wal:writer:lock", "wal:writer:fence")


def test_the_fence_issues_checks_and_is_put_right_in_one_slot(cluster: str, nodes: list[ClusterNode]) -> None:
    client = ledger_client()
    assert client is not None

    assert lease.take_lease(client, stream=3, holder="one")
    assert lease.extend_lease(client, stream=3, holder="one")
    assert fencing.issue_token(client, stream=3, holder="one", floor=7).token == 8
    assert fencing.validate_and_advance_fencing_token(8, stream=3) == fencing.STALE
    assert fencing.validate_and_advance_fencing_token(9, stream=3) == fencing.OK
    fence.write_keys(3, token=40)
    assert fencing.issue_token(client, stream=3, holder="one", floor=7).token == 41
    assert lease.release_lease(client, stream=3, holder="one")

    environment = fencing.loa("ENVIRONMENT")
    kept = keys_of(nodes, cluster)
    assert set(kept) == {f"wal:writer:fence:{environment}:3", f"wal:writer:last_accepted:{environment}:3"}
    assert len(set(kept.values())) == 1


def test_limits_circuits_and_credit_are_kept_there(cluster: str, nodes: list[ClusterNode]) -> None:
    breaker = Breaker("scale")

    assert [throttles.check("wallet", WALLET, limit=2).allowed for _ in range(3)] == [True, True, False]
    breaker.force_open(seconds=60)
    assert breaker.state().value == "OPEN"
    assert credit_cache.add_issued_note(WALLET, 700, denomination=ASSET) == 700
    assert credit_cache.add_issued_note(WALLET, 50, denomination=ASSET) == 750
    assert len(keys_of(nodes, cluster)) == 3
    credit_cache.forget(WALLET, denomination=ASSET)
    breaker.force_close()


def test_the_finalize_stream_is_written_read_and_acknowledged(cluster: str) -> None:
    letter = new_id("dlq")

    assert finalize_stream.announce(letter)
    assert finalize_stream.announce_poison(letter, reason="test", attempts=5)
    taken = finalize_stream.take(10, consumer="one")
    assert [entry.letter_id for entry in taken] == [letter]
    assert finalize_stream.status().pending == 1
    assert finalize_stream.acknowledge(taken) == 1
    assert finalize_stream.remove_idle_consumers() == 0

    after = finalize_stream.status()
    assert (after.is_reachable, after.length, after.pending, after.poisoned) == (True, 0, 0, 1)


def test_single_commands_health_and_the_operators_page_find_their_node(cluster: str) -> None:
    key = detection.redis_key("nft:detection:scale")

    assert ask(lambda client: client.set(key, "x", nx=True, ex=30)) is True
    assert ask(lambda client: client.get(key)) == b"x"
    detection._forget(key)
    assert ask(lambda client: client.get(key)) is None
    parts.ask_redis()
    assert len(broker_section().rows) == 2


@pytest.mark.django_db(transaction=True)
def test_a_writer_appends_with_tokens_of_the_cluster(cluster: str, nodes: list[ClusterNode]) -> None:
    forget_writers()
    try:
        account_id = ledger.prepaid_account(1_000)
        kept = keys_of(nodes, cluster)
    finally:
        forget_writers()

    assert account_id
    assert any(name.startswith("wal:writer:lock") for name in kept)
    assert any(name.startswith("wal:writer:last_accepted") for name in kept)


def test_a_cluster_that_is_gone_counts_as_away_and_is_found_again(
    cluster: str, settings: LazySettings, nodes: list[ClusterNode]
) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}
    redis_scripts.wake()
    client = ledger_client()
    assert client is not None

    assert ask(lambda one: one.get("x")) is None
    with pytest.raises(RedisUnavailable):
        lease.take_lease(client, stream=3, holder="one")

    settings.LOA = {**settings.LOA, "REDIS_URL": nodes[0].url}
    redis_scripts.wake()
    assert ask(lambda one: one.set(f"{cluster}back", "1", ex=30)) is True


@pytest.mark.parametrize(
    ("prefix", "is_cluster", "found"),
    [("{loa}:", True, []), ("loa:", True, ["billing.E004"]), ("{}:", True, ["billing.E004"]), ("loa:", False, [])],
)
def test_a_cluster_asks_for_a_prefix_with_a_tag(
    settings: LazySettings, prefix: str, is_cluster: bool, found: list[str]
) -> None:
    settings.LOA = {**settings.LOA, "REDIS_CLUSTER": is_cluster, "REDIS_KEY_PREFIX": prefix}

    assert [message.id for message in redis_prefix_keeps_keys_together()] == found
