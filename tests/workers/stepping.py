"""A process that runs one task after the other and is killed at a named step: `python -m tests.workers.stepping`.

A step is a message that leaves the process and changes something: a statement or a COMMIT to Postgres, a command to
Redis, a transaction to a chain, a message to a webhook or mail server. What happens between two of them nobody outside
can see, so killing a process before each message and after the last is killing it between every two steps. The parent
has Django ready and forks for each run; the child counts its messages by name (`COMMIT#2` is the second one) and kills
itself with SIGKILL before the one it was told.

A statement inside a transaction is no step of its own: a killed process takes the whole transaction with it, which the
kill before its COMMIT shows. Nor is a message that only asks.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

ROOT = Path(__file__).resolve().parent.parent.parent
END = "END"
# What only asks, or opens a connection, is no step: nobody can tell whether it was done.
READS = re.compile(
    r"\s*(SELECT(?!.*\bbilling\.(?!past_now\b)\w+\()|SHOW|SET|FETCH|CLOSE|DECLARE)", re.IGNORECASE | re.DOTALL
)
REDIS_READS = frozenset({"AUTH", "CLIENT", "GET", "HELLO", "INFO", "LLEN", "MGET", "PING", "SELECT", "XINFO", "XLEN"})
COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)")
CALL = re.compile(rb'"method": ?"(\w+)"')
SENDS = b"eth_sendRawTransaction"
SECONDS_MAX = 90
ALIKE_MAX = 3


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one run: its exit code (-9 when it was killed), its steps in order, and its errors."""

    code: int
    steps: list[str]
    errors: str

    def boundaries(self) -> list[str]:
        """Where to kill: before each effect, the third of the same kind being the last, and at the end.

        Of messages to a mail or webhook server only the first of each run, and of commands to Redis, which holds
        nothing of value, the first of each kind.
        """
        chosen, before = [], ""
        for step in self.steps:
            kind, number = step.partition(" ")[0], int(step.rpartition("#")[2])
            if number <= (1 if kind == "redis" else ALIKE_MAX) and (kind != "peer" or kind != before):
                chosen.append(step)
            before = kind
        return [*chosen, END]


class Stepper:
    """The process that forks, and the conversation with it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.workers.stepping"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )

    def run(self, task: str, *, killed_at: str = "", loa: Mapping[str, Any] | None = None, **settings: Any) -> Run:
        """Run a task to its end or to the step; `loa` and `settings` hold for this run."""
        wish = {"task": task, "killed_at": killed_at, "loa": dict(loa or {}), "settings": settings}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._log.read_text()[-3000:]
        run = Run(**json.loads(line), errors=self._log.read_text()[-3000:])
        assert run.code in (0, -signal.SIGKILL), run
        return run

    def end(self) -> None:
        self._process.communicate(timeout=20)


@contextmanager
def stepper(log: Path) -> Iterator[Stepper]:
    running = Stepper(log)
    yield running
    running.end()


class Steps:
    """Counts messages in the child, writes their names to a pipe, and kills the process before the wanted one."""

    def __init__(self, wanted: str, pipe: int) -> None:
        self._wanted, self._pipe, self._counts = wanted, pipe, Counter[str]()
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
            step = name if name == END else f"{name}#{self._counts[name]}"
            if step == self._wanted:
                os.kill(os.getpid(), signal.SIGKILL)
            if step != END:
                os.write(self._pipe, f"{step}\n".encode())

    def watch(self) -> None:
        """Stand before everything that sends."""
        execute, commit, sendall = psycopg.Cursor.execute, psycopg.Connection.commit, socket.socket.sendall

        def counted_execute(cursor: Any, query: Any, *arguments: Any, **named: Any) -> Any:
            text = query if isinstance(query, str) else str(query)
            is_idle = cursor.connection.info.transaction_status == TransactionStatus.IDLE
            if cursor.connection.autocommit and is_idle and not READS.match(text):
                self.reach("sql " + " ".join(text.split())[:60])
            return execute(cursor, query, *arguments, **named)

        def counted_commit(connection: Any) -> None:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                self.reach("sql COMMIT")
            commit(connection)

        def counted_sendall(peer: Any, octets: Any, *flags: Any) -> Any:
            name = named(bytes(octets))
            if name:
                self.reach(name)
            return sendall(peer, octets, *flags)

        psycopg.Cursor.execute = counted_execute
        psycopg.Connection.commit = counted_commit
        socket.socket.sendall = counted_sendall


def named(octets: bytes) -> str:
    """A message to a socket by its peer's language and its first word; empty for one that only asks."""
    command = COMMAND.match(octets)
    if command:
        word = command.group(1).decode().upper()
        return "" if word in REDIS_READS else f"redis {word}"
    calls = CALL.findall(octets)
    if calls:
        return "chain send" if SENDS in calls else ""
    if octets.startswith((b"POST ", b"GET ")):
        return ""  # the head of a request; its body comes after it
    word = re.match(rb"[A-Za-z]+", octets)
    return f"peer {word.group().decode() if word else 'body'}"


def child(wish: dict[str, Any], pipe: int) -> None:
    """Run the task here and end."""
    from django.conf import settings
    from django.test import override_settings

    from loa_site.celery import application
    from x402.chain.network_settings import networks

    networks.cache_clear()
    steps = Steps(wish["killed_at"], pipe)
    with override_settings(**wish["settings"], LOA={**settings.LOA, **wish["loa"]}):
        steps.watch()
        application.tasks[wish["task"]]()
        steps.reach(END)
    sys.exit(0)  # as a worker that is asked to end: it gives back what it holds


def serve() -> None:
    """One forked child for each line, until the input ends."""
    import django

    django.setup()
    from loa_site.celery import application

    application.loader.import_default_modules()
    assert threading.active_count() == 1
    for line in sys.stdin:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            signal.alarm(SECONDS_MAX)
            child(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            steps = pipe.read().splitlines()
        _, status = os.waitpid(process, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "steps": steps}), flush=True)


if __name__ == "__main__":
    serve()
