"""Redis is optional: gone, frozen or refusing, it costs a request little and once (faults.md 24, 25)."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from pytest_django.fixtures import Settings

from outbound import redis_scripts
from outbound.redis_scripts import SharedScript, redis_client

ECHO = SharedScript("return {1, ARGV[1]}")


@pytest.fixture(autouse=True)
def _rested() -> Iterator[None]:
    yield
    redis_scripts.wake()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        for connection in held:
            connection.close()


def test_a_script_answers_when_redis_is_there(settings: Settings) -> None:
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")

    assert ECHO.run([], ["x"]) == [1, b"x"]


def test_without_a_url_there_is_no_redis(settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}

    assert redis_client() is None
    assert ECHO.run([], ["x"]) is None


def test_a_frozen_redis_costs_a_quarter_of_a_second_once(settings: Settings, black_hole: str) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": black_hole}

    started = time.monotonic()
    assert ECHO.run([], ["x"]) is None
    first = time.monotonic() - started
    for _ in range(100):
        assert ECHO.run([], ["x"]) is None

    assert first < 0.25
    assert time.monotonic() - started < first + 0.05


def test_a_redis_that_refuses_to_write_counts_as_away(settings: Settings) -> None:
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")
    refusing = SharedScript("return redis.error_reply('READONLY You can not write against a read only replica.')")

    assert refusing.run([], []) is None
    assert redis_scripts.is_resting()


def test_redis_is_asked_again_after_its_rest(settings: Settings) -> None:
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")
    redis_scripts.rest(redis.ConnectionError("gone"))
    assert ECHO.run([], ["x"]) is None

    redis_scripts.wake()

    assert ECHO.run([], ["x"]) == [1, b"x"]
