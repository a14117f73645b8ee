"""A real Celery worker: it is woken, its children may be killed, and what it cannot read does not stop it."""

import base64
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import current_app

from billing.services import wake_ups
from telemetry.configuration import loa
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of, repair
from tests.factories import ledger, queues
from tests.workers.task_process import ROOT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("payment_table"),
    pytest.mark.slow,
    pytest.mark.timeout(240),
]


@pytest.fixture(autouse=True)
def _empty_queues() -> Iterator[None]:
    queues.empty()
    yield
    queues.empty()


@contextmanager
def worker(log: Path, *, pool: str = "prefork", **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the default queue, ready for tasks."""
    command = [sys.executable, "-m", "celery", "-A", "loa_site.celery", "worker", "-Q", "default", "-c", "1"]
    command += [
        "--pool",
        pool,
        "--loglevel",
        "info",
        "--without-mingle",
        "--without-gossip",
        "-n",
        f"{uuid.uuid4()}@%h",
    ]
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: b" ready." in log.read_bytes())
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(("task", "steps"), [("billing.drain_finalize", ""), ("billing.verify_ledger", "9")])
def test_a_message_waits_in_the_list_of_its_priority_however_it_was_sent(task: str, steps: str) -> None:
    client = redis.Redis.from_url(loa("REDIS_URL"))
    waiting = f"default\x06\x16{steps}" if steps else "default"

    current_app.send_task(task)
    current_app.tasks[task].apply_async()

    assert client.llen(waiting) == 2
    assert [client.llen(name) for name in queues.lists_of("default") if name != waiting] == [0, 0, 0]


def test_a_committed_letter_wakes_a_worker_that_books_it_without_beat(tmp_path: Path) -> None:
    with worker(tmp_path / "worker.log"):
        call = deferred()
        repair(call)
        wake_ups.wake(wake_ups.DRAIN_FINALIZE)

        wait_until(lambda: letter_of(call).state == "done")

    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]


def test_a_child_that_dies_in_its_task_is_replaced_and_the_message_comes_again(tmp_path: Path) -> None:
    call = deferred()
    repair(call)
    log = tmp_path / "worker.log"
    with worker(log, LOA_CRASH_POINTS="drain_leased"):
        current_app.send_task("billing.drain_finalize")
        wait_until(lambda: log.read_bytes().count(b"WorkerLostError") >= 1)
        assert letter_of(call).state == "pending"

    ledger.rows("UPDATE billing.dead_letter SET lease_until = clock_timestamp() WHERE state = 'pending' RETURNING id")
    queues.work_off()

    assert letter_of(call).state == "done"
    assert ledger.kinds_of(call.entry_id).count("billing_commit") == 1


@dataclass(frozen=True)
class Payload:
    """What a pickle would run when it is read."""

    command: str

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_pickle_yaml_and_unknown_tasks_are_refused_and_the_worker_goes_on(tmp_path: Path) -> None:
    client = redis.Redis.from_url(loa("REDIS_URL"))
    log, proof = tmp_path / "worker.log", tmp_path / "ran"
    with worker(log, pool="solo"):
        for content_type, body in (
            ("application/x-python-serialize", pickle.dumps(Payload(f"touch {proof}"))),
            ("application/x-yaml", f"!!python/object/apply:os.system ['touch {proof}']".encode()),
            ("application/json", b"{not json"),
        ):
            client.lpush("default", message(body, content_type=content_type))
        client.lpush("default", message(b"[[], {}, {}]", content_type="application/json", task="nobody.knows"))
        wait_until(lambda: "nobody.knows" in log.read_text())  # the last in the list: the others were read before it
        call = deferred()
        repair(call)
        current_app.send_task("billing.drain_finalize")
        wait_until(lambda: letter_of(call).state == "done")

    assert not proof.exists()
    text = log.read_text()
    assert "ContentDisallowed" in text or "Refusing to deserialize" in text


def message(body: bytes, *, content_type: str, task: str = "billing.drain_finalize") -> str:
    """A message as the broker stores it."""
    identifier = str(uuid.uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"id": identifier, "task": task, "lang": "py"},
            "properties": {
                "body_encoding": "base64",
                "correlation_id": identifier,
                "delivery_info": {"exchange": "", "routing_key": "default"},
                "delivery_mode": 2,
                "delivery_tag": identifier,
                "priority": 0,
            },
        }
    )
