"""Redis flushed, replaced by a stale copy, paused, full, read-only, gone (faults rows 20 to 27): the rows decide."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from billing.domain.errors import ApprovalInvalid, Refused
from billing.domain.journal import Result
from billing.locks import fencing
from billing.locks.errors import FencingTokenCorrupt, FencingTokenOverflow
from billing.locks.fencing import fence_keys
from billing.locks.stream_rows import stream_row
from billing.services import fence
from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from loa_site.local import ports
from loa_site.local.redis import Redis
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

pytestmark = pytest.mark.slow
APPENDS = 1_000
THREADS = 8


@pytest.fixture
def client(own_redis: Redis) -> Iterator[redis.Redis]:
    opened = redis.Redis.from_url(own_redis.url, socket_timeout=5)
    yield opened
    opened.close()


def append_from_threads(count: int, during: threading.Event) -> dict[str, str]:
    """Append from eight threads; the status of every key. `during` is set while it lasts."""
    outcomes: dict[str, str] = {}

    def work() -> None:
        for _ in range(count // THREADS):
            journal = ledger.suspense_journal(5)
            [result] = append([journal])
            outcomes[journal.key] = result.status.value

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    during.set()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    during.clear()
    return outcomes


def require_every_journal_once(outcomes: dict[str, str]) -> None:
    """Zero lost, zero duplicate, sequences gapless, chain whole."""
    assert Counter(outcomes.values()) == {"ok": len(outcomes)}
    counted = ledger.one(
        "SELECT count(*), count(DISTINCT key) FROM billing.journal WHERE key = ANY (%s)", list(outcomes)
    )
    assert counted == (len(outcomes), len(outcomes))
    for stream, sequence, journals, last in ledger.rows(
        "SELECT s.id, s.sequence, count(j.id), max(j.sequence) FROM billing.stream s"
        " LEFT JOIN billing.journal j ON j.stream = s.id GROUP BY s.id, s.sequence"
    ):
        assert (journals, last or 0) == (sequence, sequence), f"stream {stream}"
    assert verify_ledger().findings == ()


def test_flushing_redis_all_the_time_loses_nothing(own_ledger: OwnLedger, client: redis.Redis) -> None:
    running, flushes = threading.Event(), []

    def flush() -> None:
        running.wait(10)
        while running.is_set():
            client.flushall()
            flushes.append(1)
            time.sleep(0.02)

    flusher = threading.Thread(target=flush)
    flusher.start()
    outcomes = append_from_threads(APPENDS, running)
    flusher.join()

    assert len(flushes) > 5
    assert len(outcomes) == APPENDS
    require_every_journal_once(outcomes)


def test_a_failover_to_a_stale_replica_loses_nothing(
    own_ledger: OwnLedger, own_redis: Redis, client: redis.Redis, tmp_path: Path
) -> None:
    append([ledger.suspense_journal()])
    replica = Redis(tmp_path / "replica", ports.free_port())
    replica.start()
    copy = redis.Redis.from_url(replica.url)
    copy.replicaof("127.0.0.1", own_redis.port)
    await_sync(copy, client)
    copy.replicaof("NO", "ONE")  # from here on the copy knows nothing of the tokens that are issued
    stale_issuer = int(copy.get(fence_keys(0).issuer))
    running, failovers = threading.Event(), []

    def fail_over() -> None:
        running.wait(10)
        time.sleep(0.3)
        own_redis.stop()
        promoted = Redis(tmp_path / "promoted", own_redis.port)
        promoted.start(outlives_starter=True)  # or it would end with this thread
        failovers.append(promoted)
        fresh = redis.Redis.from_url(promoted.url)
        fresh.replicaof("127.0.0.1", replica.port)
        await_sync(fresh, copy)
        fresh.replicaof("NO", "ONE")

    worker = threading.Thread(target=fail_over)
    worker.start()
    try:
        outcomes = append_from_threads(APPENDS, running)
        worker.join()
        fresh = redis.Redis.from_url(failovers[0].url)
        after = append_until_redis_follows(fresh)
        row_token = stream_row(0).last_token
        issuer, accepted = fresh.mget(fence_keys(0).issuer, fence_keys(0).last_accepted)
    finally:
        replica.stop()
        for promoted in failovers:
            promoted.stop()

    assert after.status == "ok"
    assert stale_issuer < row_token
    assert int(issuer) == int(accepted) == row_token
    require_every_journal_once(outcomes)


def seconds_of_appends(count: int) -> float:
    started = time.monotonic()
    assert {append([ledger.suspense_journal()])[0].status for _ in range(count)} == {"ok"}
    return time.monotonic() - started


def append_until_redis_follows(client: redis.Redis) -> Result:
    """Append until Redis has the row's token again: the writer asks it again a while after it failed."""
    deadline = time.monotonic() + 30
    while True:
        [result] = append([ledger.suspense_journal()])
        if client.get(fence_keys(0).last_accepted) == str(stream_row(0).last_token).encode():
            return result
        assert time.monotonic() < deadline, "Redis was not asked again"
        time.sleep(0.2)


def await_sync(replica: redis.Redis, master: redis.Redis) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if replica.info("replication").get("master_link_status") == "up" and replica.dbsize() == master.dbsize():
            return
        time.sleep(0.02)
    raise AssertionError("the replica did not catch up")


def test_a_token_that_the_row_has_passed_is_refused_by_redis_after_a_flush(
    own_ledger: OwnLedger, client: redis.Redis
) -> None:
    append([ledger.suspense_journal()])
    client.flushall()

    append([ledger.suspense_journal()])

    row_token = stream_row(0).last_token
    assert client.get(fence_keys(0).last_accepted) == str(row_token).encode()
    assert fencing.validate_and_advance_fencing_token(row_token - 1) == "STALE"


@pytest.mark.parametrize("trouble", ["paused", "full", "read-only", "stopped"])
def test_the_writer_goes_on_without_a_redis_in_trouble_and_returns_to_it(
    own_ledger: OwnLedger, own_redis: Redis, client: redis.Redis, trouble: str
) -> None:
    calm = seconds_of_appends(20)
    if trouble == "paused":
        client.client_pause(1_500, all=True)
    elif trouble == "full":
        client.config_set("maxmemory", "1mb")
    elif trouble == "read-only":
        client.replicaof("127.0.0.1", 1)
    else:
        own_redis.stop()

    with capture_logs() as logs:
        seconds = seconds_of_appends(20)

    assert "wal.fencing_token.redis_sync_failed" in {entry.get("metric") for entry in logs}
    assert seconds < 10 * calm + 1.5  # one call waits for Redis, not twenty
    if trouble == "full":
        client.config_set("maxmemory", "0")
    elif trouble == "read-only":
        client.replicaof("NO", "ONE")
    elif trouble == "stopped":
        own_redis.start()
    assert append_until_redis_follows(client).status == "ok"
    assert verify_ledger().is_clean


def test_without_redis_configured_the_ledger_appends_and_warns_of_nothing(own_ledger: OwnLedger, settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}

    with capture_logs() as logs:
        outcomes = append_from_threads(80, threading.Event())

    require_every_journal_once(outcomes)
    assert [entry for entry in logs if entry["log_level"] in ("warning", "error", "critical")] == []


def test_a_lost_script_is_sent_again(own_ledger: OwnLedger, client: redis.Redis) -> None:
    append([ledger.suspense_journal()])
    client.script_flush()

    with capture_logs() as logs:
        [result] = append([ledger.suspense_journal()])

    assert result.status == "ok"
    assert logs == []


class TestCorruptFence:
    """Only CORRUPT fails closed, until two people reset it."""

    def test_no_journal_is_appended_and_a_reset_opens_the_stream_again(
        self, own_ledger: OwnLedger, client: redis.Redis
    ) -> None:
        append([ledger.suspense_journal()])
        token = stream_row(0).last_token
        client.set(fence_keys(0).last_accepted, "9007199254740993")
        refused = ledger.suspense_journal()

        with capture_logs() as logs, pytest.raises(FencingTokenCorrupt):
            append([refused])

        assert ledger.journal_count(refused.key) == 0
        assert [entry["severity"] for entry in logs if entry.get("metric") == "wal.fencing_token.corrupt"] == [
            "critical"
        ]
        approval_id = fence.request_reset(0, maker="ada", reason="edited by hand")
        with pytest.raises(ApprovalInvalid):
            fence.reset_fence(0, approval_id=approval_id, checker="ada")
        with pytest.raises(FencingTokenCorrupt):
            append([refused])
        status = fence.reset_fence(0, approval_id=approval_id, checker="grace")
        assert (status.redis_issuer, status.redis_last_accepted) == (str(token), str(token))
        assert append([refused])[0].status == "ok"
        [(kind, approval)] = ledger.rows(
            "SELECT kind, approval_id FROM billing.journal WHERE key = %s", f"fence_reset:{approval_id}"
        )
        assert (kind, approval) == ("fence_reset", approval_id)
        assert verify_ledger().is_clean

    def test_an_approval_resets_once_and_only_its_stream(self, own_ledger: OwnLedger, client: redis.Redis) -> None:
        append([ledger.suspense_journal()])
        approval_id = fence.request_reset(0, maker="ada", reason="edited by hand")
        fence.reset_fence(0, approval_id=approval_id, checker="grace")

        client.set(fence_keys(0).issuer, "abc")
        with pytest.raises(Refused):
            fence.reset_fence(0, approval_id=approval_id, checker="joan")

        assert client.get(fence_keys(0).issuer) == b"abc"

    def test_an_approval_of_another_kind_resets_nothing(self, own_ledger: OwnLedger, client: redis.Redis) -> None:
        append([ledger.suspense_journal()])
        client.set(fence_keys(0).issuer, "abc")
        ledger.rows(
            "SELECT billing.request_approval('apr_other', 'manual_credit', 'stream:0', 'MicroUSD', 1, 'stream:0', 'x',"
            " 'ada', 600)"
        )

        with pytest.raises(ApprovalInvalid):
            fence.reset_fence(0, approval_id="apr_other", checker="grace")

        assert client.get(fence_keys(0).issuer) == b"abc"
        assert ledger.rows("SELECT id FROM billing.journal WHERE kind = 'fence_reset'") == []

    def test_a_stream_without_tokens_left_refuses_to_append(self, own_ledger: OwnLedger, client: redis.Redis) -> None:
        append([ledger.suspense_journal()])
        client.set(fence_keys(0).issuer, str(2**53 - 1))
        refused = ledger.suspense_journal()

        with pytest.raises(FencingTokenOverflow):
            append([refused])

        assert ledger.journal_count(refused.key) == 0


def test_every_key_the_ledger_leaves_is_a_known_one(own_ledger: OwnLedger, client: redis.Redis) -> None:
    append([ledger.suspense_journal()])

    keys = {key.decode(): client.ttl(key) for key in client.scan_iter()}

    expected = fence_keys(0)
    assert set(keys) == {expected.lease, expected.issuer, expected.last_accepted}
    assert 0 < keys[expected.lease] <= 30
