"""Services that one test breaks: a ledger, a Redis, and processes that append to them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from loa_site.local import ports
from loa_site.local.redis import Redis
from tests.factories.own_ledger import OwnLedger, own_ledger_of


class Appender:
    """A child process that appends, and the conversation with it."""

    def __init__(self, environment: dict[str, str], *, lease_seconds: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.append_process", str(lease_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pid = self.hear()["ready"]

    def tell(self, command: str, **arguments: Any) -> None:
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(self._process.stderr.read()[-3000:])
        return json.loads(line)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.tell(command, **arguments)
        return self.hear()

    def hear_rest(self) -> list[dict[str, Any]]:
        """What it still said before it was killed; half a line does not count."""
        return [json.loads(line) for line in self._process.stdout.read().splitlines() if line.endswith("}")]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.kill()
        self._process.communicate(timeout=10)


@pytest.fixture
def own_ledger(own_database: dict[str, str], transactional_db: None) -> Iterator[OwnLedger]:
    """An empty ledger that the code under test uses, and nobody else."""
    with own_ledger_of(own_database) as opened:
        yield opened


@pytest.fixture
def own_redis(tmp_path: Path, settings: LazySettings) -> Iterator[Redis]:
    """An empty Redis that the code under test uses, and nobody else."""
    server = Redis(tmp_path / "redis", ports.free_port())
    server.start()
    settings.LOA = {**settings.LOA, "REDIS_URL": server.url}
    yield server
    server.stop()


@pytest.fixture
def appender(own_ledger: OwnLedger) -> Iterator[Callable[..., Appender]]:
    """Starts processes that append to the test's ledger, with the given Redis or none."""
    started: list[Appender] = []

    def start(redis_url: str = "", *, lease_seconds: int = 1) -> Appender:
        environment = own_ledger.environment() | {"REDIS_URL": redis_url, "OTEL_ENABLED": "0"}
        started.append(Appender(environment, lease_seconds=lease_seconds))
        return started[-1]

    yield start
    for one in started:
        one.end()
