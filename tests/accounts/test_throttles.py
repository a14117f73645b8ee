"""Rate limits: exact, atomic, per subject, and the same figure without Redis (faults.md 28, 68)."""

import threading
from secrets import token_hex

import pytest
import time_machine
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from accounts import throttles
from accounts.addresses import client_address, rate_limit_address
from accounts.throttles import WINDOW_MS, LocalWindows
from outbound.redis_scripts import redis_client


@pytest.fixture
def wallet_limit(settings: Settings) -> int:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"wallet": 5}, "REDIS_KEY_PREFIX": f"{token_hex(4)}:"}
    return 5


def needs_redis(settings: Settings) -> None:
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")


def test_the_sixth_of_five_is_refused_and_told_when(settings: Settings, wallet_limit: int) -> None:
    needs_redis(settings)

    verdicts = [throttles.check("wallet", "0xabc") for _ in range(6)]

    assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False]
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0]
    assert 1 <= verdicts[-1].retry_after_seconds <= 60
    assert throttles.check("wallet", "0xdef").allowed


def test_a_hundred_racers_get_exactly_the_limit(settings: Settings, wallet_limit: int) -> None:
    needs_redis(settings)
    allowed: list[bool] = []
    barrier = threading.Barrier(20)

    def race() -> None:
        barrier.wait()
        allowed.extend(throttles.check("wallet", "0xrace").allowed for _ in range(5))

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(allowed) == 100
    assert sum(allowed) == 5


def test_every_key_expires_and_names_nobody(settings: Settings, wallet_limit: int) -> None:
    needs_redis(settings)
    client = redis_client()
    assert client is not None
    throttles.check("wallet", "0xsecretive")

    [key] = client.keys(settings.LOA["REDIS_KEY_PREFIX"] + "*")

    assert b"0xsecretive" not in key
    assert 0 < client.pttl(key) <= 2 * WINDOW_MS


def test_without_redis_the_figure_is_the_same(settings: Settings, wallet_limit: int) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}

    assert [throttles.check("wallet", "0xlocal").allowed for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_without_a_figure_is_a_mistake_of_ours(wallet_limit: int) -> None:
    with pytest.raises(KeyError):
        throttles.check("walet", "0xabc")


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=60), st.integers(1, 10))
def test_no_window_of_a_minute_lets_more_through_than_about_the_limit(pauses: list[int], limit: int) -> None:
    """The estimate assumes that a window's requests were spread evenly; the bound of two windows is hard."""
    windows, now, allowed = LocalWindows(), 0, []
    for pause in pauses:
        now += pause
        if windows.count("x", limit=limit, now_ms=now)[0]:
            allowed.append(now)

    per_window = [sum(1 for at in allowed if at // WINDOW_MS == window) for window in range(now // WINDOW_MS + 1)]
    assert max(per_window, default=0) <= limit
    assert allowed[0] == pauses[0]


def test_a_full_window_frees_its_places_bit_by_bit() -> None:
    windows = LocalWindows()
    for _ in range(10):
        windows.count("x", limit=10, now_ms=59_000)

    assert not windows.count("x", limit=10, now_ms=60_000)[0]
    assert windows.count("x", limit=10, now_ms=66_001)[0]
    assert not windows.count("x", limit=10, now_ms=66_002)[0]


def test_the_memory_of_the_local_windows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles, "SUBJECTS_MAX", 100)
    windows = LocalWindows()

    for number in range(1_000):
        windows.count(str(number), limit=1, now_ms=0)

    assert len(windows._windows) == 100


@pytest.mark.parametrize(
    ("forwarded_for", "trusted", "expected"),
    [
        ("6.6.6.6", 0, "10.0.0.9"),
        ("6.6.6.6", 1, "6.6.6.6"),
        ("1.1.1.1, 6.6.6.6", 1, "6.6.6.6"),
        ("1.1.1.1, 6.6.6.6, 10.0.0.1", 2, "6.6.6.6"),
        ("6.6.6.6", 2, "10.0.0.9"),
        ("nonsense", 1, "10.0.0.9"),
        ("", 1, "10.0.0.9"),
    ],
)
def test_a_proxy_is_believed_only_as_far_as_it_is_ours(forwarded_for: str, trusted: int, expected: str) -> None:
    assert client_address("10.0.0.9", forwarded_for, trusted_proxies=trusted) == expected


def test_one_ipv6_subscriber_is_one_client() -> None:
    assert rate_limit_address("2001:db8:1:2:aaaa::1") == rate_limit_address("2001:db8:1:2:bbbb::2")
    assert rate_limit_address("2001:db8:1:2::1") != rate_limit_address("2001:db8:1:3::1")
    assert rate_limit_address("") == "unknown"


def test_the_header_alone_buys_no_second_bucket(settings: Settings) -> None:
    factory = RequestFactory()

    seen = {
        throttles.address_of(factory.get("/", headers={"X-Forwarded-For": f"6.6.6.{number}"})) for number in range(5)
    }

    assert seen == {"127.0.0.1"}


def test_a_clock_of_tests_does_not_matter_to_redis(settings: Settings, wallet_limit: int) -> None:
    needs_redis(settings)
    for _ in range(5):
        throttles.check("wallet", "0xclock")

    with time_machine.travel("2099-01-01"):
        assert not throttles.check("wallet", "0xclock").allowed
