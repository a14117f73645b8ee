"""Plan 11.3, criterion by criterion, on a real server; and the strings that only look like tokens."""

import threading
from collections import Counter

import pytest
import redis
from django.conf import LazySettings
from structlog.testing import capture_logs

from billing.locks import fencing, lease
from billing.locks.errors import FencingTokenCorrupt, FencingTokenInvalid, FencingTokenOverflow

LAST_ACCEPTED = "wal:writer:last_accepted:development"
NOT_TOKENS = ["nan", "0x10", "1.5", " 7 ", "-0", "-1", "007", "1e30", "9007199254740992", "9007199254740993", "abc", ""]


def test_a_fresh_token_is_accepted_and_stored_as_a_decimal_string(redis_client: redis.Redis) -> None:
    redis_client.set(LAST_ACCEPTED, "41")

    verdict = fencing.validate_and_advance_fencing_token(42)

    assert verdict == "OK"
    assert redis_client.get(LAST_ACCEPTED) == b"42"


def test_a_missing_key_counts_as_zero(redis_client: redis.Redis) -> None:
    assert fencing.validate_and_advance_fencing_token(1) == "OK"
    assert redis_client.get(LAST_ACCEPTED) == b"1"


def test_the_greatest_safe_integer_is_accepted_and_kept_exactly(redis_client: redis.Redis) -> None:
    assert fencing.validate_and_advance_fencing_token(2**53 - 2) == "OK"
    assert fencing.validate_and_advance_fencing_token(2**53 - 1) == "OK"
    assert redis_client.get(LAST_ACCEPTED) == b"9007199254740991"


@pytest.mark.parametrize("token", [9, 10])
def test_a_stale_or_equal_token_is_refused_and_nothing_changes(redis_client: redis.Redis, token: int) -> None:
    redis_client.set(LAST_ACCEPTED, "10")

    with capture_logs() as logs:
        verdict = fencing.validate_and_advance_fencing_token(token)

    assert verdict == "STALE"
    assert redis_client.get(LAST_ACCEPTED) == b"10"
    [entry] = logs
    assert entry == {
        "event": "wal.fencing_token.stale",
        "metric": "wal.fencing_token.stale",
        "log_level": "warning",
        "token": token,
        "lastAccepted": 10,
        "stream": 0,
    }


def test_two_writers_with_interleaved_tokens_leave_only_rising_ones(redis_client: redis.Redis) -> None:
    arrivals = [3, 5, 4, 5, 8, 6, 7, 9, 1]

    verdicts = [fencing.validate_and_advance_fencing_token(token) for token in arrivals]

    assert verdicts == ["OK", "OK", "STALE", "STALE", "OK", "STALE", "STALE", "OK", "STALE"]
    assert redis_client.get(LAST_ACCEPTED) == b"9"


def test_sixteen_threads_with_one_token_get_one_acceptance(redis_client: redis.Redis) -> None:
    barrier, verdicts = threading.Barrier(16), []

    def present() -> None:
        barrier.wait()
        verdicts.append(fencing.validate_and_advance_fencing_token(7))

    threads = [threading.Thread(target=present) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(verdicts) == {"OK": 1, "STALE": 15}


@pytest.mark.parametrize("stored", NOT_TOKENS)
def test_a_corrupt_stored_token_fails_closed_and_is_logged_as_critical(redis_client: redis.Redis, stored: str) -> None:
    redis_client.set(LAST_ACCEPTED, stored)

    with capture_logs() as logs:
        verdict = fencing.validate_and_advance_fencing_token(100)

    assert verdict == "CORRUPT"
    assert redis_client.get(LAST_ACCEPTED) == stored.encode()
    [entry] = logs
    assert (entry["metric"], entry["stored_value"], entry["severity"], entry["log_level"]) == (
        "wal.fencing_token.corrupt",
        stored,
        "critical",
        "critical",
    )


def test_a_key_of_another_type_is_corrupt(redis_client: redis.Redis) -> None:
    redis_client.rpush(LAST_ACCEPTED, "7")

    assert fencing.validate_and_advance_fencing_token(100) == "CORRUPT"
    assert redis_client.lrange(LAST_ACCEPTED, 0, -1) == [b"7"]


@pytest.mark.parametrize("incoming", NOT_TOKENS)
def test_the_script_itself_accepts_canonical_decimals_only(redis_client: redis.Redis, incoming: str) -> None:
    verdict = redis_client.eval(fencing.WAL_FENCING_CAS.text, 1, LAST_ACCEPTED, incoming)

    assert verdict == b"CORRUPT"
    assert redis_client.get(LAST_ACCEPTED) is None


@pytest.mark.parametrize("token", [-1, 2**53, 10**30, True, 1.0, "7", None])
def test_a_token_outside_the_safe_integers_never_reaches_redis(redis_client: redis.Redis, token: object) -> None:
    before = redis_client.info("commandstats")

    with pytest.raises(FencingTokenInvalid):
        fencing.validate_and_advance_fencing_token(token)

    after = redis_client.info("commandstats")
    assert after.get("cmdstat_evalsha") == before.get("cmdstat_evalsha")
    assert redis_client.get(LAST_ACCEPTED) is None


def test_a_lost_script_is_sent_again(redis_client: redis.Redis) -> None:
    assert fencing.validate_and_advance_fencing_token(1) == "OK"
    redis_client.script_flush()

    assert fencing.validate_and_advance_fencing_token(2) == "OK"


def test_the_gate_is_open_without_redis_and_says_nothing(settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}

    with capture_logs() as logs:
        verdict = fencing.validate_and_advance_fencing_token(5)

    assert (verdict, logs) == ("OK", [])


def test_the_gate_is_open_when_redis_cannot_be_reached_and_says_so(settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}

    with capture_logs() as logs:
        verdict = fencing.validate_and_advance_fencing_token(5)

    assert verdict == "OK"
    assert [entry["metric"] for entry in logs] == ["wal.fencing_token.redis_sync_failed"]


class TestIssuing:
    """One call proves the lease, counts up and runs the CAS."""

    def test_tokens_rise_by_one_while_the_lease_is_held(self, redis_client: redis.Redis) -> None:
        assert lease.take_lease(redis_client, stream=0, holder="a")

        tokens = [fencing.issue_token(redis_client, stream=0, holder="a", floor=0).token for _ in range(3)]

        assert tokens == [1, 2, 3]
        assert redis_client.get("wal:writer:fence") == b"3"
        assert redis_client.get(LAST_ACCEPTED) == b"3"

    def test_nothing_is_issued_to_a_holder_without_the_lease(self, redis_client: redis.Redis) -> None:
        assert lease.take_lease(redis_client, stream=0, holder="a")

        issued = fencing.issue_token(redis_client, stream=0, holder="b", floor=0)

        assert (issued.token, issued.is_accepted, issued.holder) == (None, False, "a")
        assert redis_client.get("wal:writer:fence") is None

    def test_a_counter_below_the_row_is_lifted_above_it(self, redis_client: redis.Redis) -> None:
        assert lease.take_lease(redis_client, stream=0, holder="a")
        redis_client.set("wal:writer:fence", "5")

        issued = fencing.issue_token(redis_client, stream=0, holder="a", floor=40)

        assert issued.token == 41

    def test_a_token_beyond_the_safe_integers_is_refused_at_issuance(self, redis_client: redis.Redis) -> None:
        assert lease.take_lease(redis_client, stream=0, holder="a")
        redis_client.set("wal:writer:fence", str(2**53 - 1))

        with capture_logs() as logs, pytest.raises(FencingTokenOverflow):
            fencing.issue_token(redis_client, stream=0, holder="a", floor=0)

        assert [(entry["metric"], entry["severity"]) for entry in logs] == [("wal.fencing_token.overflow", "critical")]
        assert redis_client.get("wal:writer:fence") == b"9007199254740991"
        assert redis_client.get(LAST_ACCEPTED) is None

    def test_the_last_safe_token_is_issued(self, redis_client: redis.Redis) -> None:
        assert lease.take_lease(redis_client, stream=0, holder="a")

        assert fencing.issue_token(redis_client, stream=0, holder="a", floor=2**53 - 2).token == 2**53 - 1

    @pytest.mark.parametrize("key", ["wal:writer:fence", LAST_ACCEPTED])
    def test_a_corrupt_value_stops_the_issue(self, redis_client: redis.Redis, key: str) -> None:
        assert lease.take_lease(redis_client, stream=0, holder="a")
        redis_client.set(key, "9007199254740993")

        with pytest.raises(FencingTokenCorrupt) as refusal:
            fencing.issue_token(redis_client, stream=0, holder="a", floor=0)

        assert refusal.value.facts == {"stream": 0, "key": key, "stored_value": "9007199254740993"}
        assert redis_client.get(key) == b"9007199254740993"


class TestKeys:
    """Streams and environments never share a key."""

    def test_the_default_environments_stream_0_has_the_plans_bare_names(self, redis_client: redis.Redis) -> None:
        assert fencing.fence_keys(0) == fencing.FenceKeys(
            lease="wal:writer:lock", issuer="wal:writer:fence", last_accepted=LAST_ACCEPTED
        )

    def test_further_streams_and_environments_carry_both(self, settings: LazySettings) -> None:
        settings.LOA = {**settings.LOA, "ENVIRONMENT": "production", "REDIS_KEY_PREFIX": "{loa}:"}

        assert fencing.fence_keys(0).lease == "{loa}:wal:writer:lock:production"
        assert fencing.fence_keys(3) == fencing.FenceKeys(
            lease="{loa}:wal:writer:lock:production:3",
            issuer="{loa}:wal:writer:fence:production:3",
            last_accepted="{loa}:wal:writer:last_accepted:production:3",
        )
