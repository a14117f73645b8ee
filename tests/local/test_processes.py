"""That the stack starts and stops exactly its own processes, and says clearly what is in the way."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loa_site.local import ports, process, serve
from loa_site.local.errors import LocalStackError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def _start(folder: Path, arguments: list[str] = SLEEPER) -> process.Record:
    _, record = process.start(process.Command(name="sleeper", arguments=arguments, log=folder / "sleeper.log"))
    return record


def test_a_stopped_process_is_gone(tmp_path: Path) -> None:
    record = _start(tmp_path)
    assert record.is_running()

    assert process.stop(record) is True

    assert not record.is_running()
    assert process.stop(record) is False


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    record = _start(tmp_path, STUBBORN)
    while "deaf" not in (tmp_path / "sleeper.log").read_text():
        time.sleep(0.01)

    process.stop(record, seconds=0.2)

    assert not record.is_running()


def test_a_launcher_that_leads_no_group_is_stopped_alone() -> None:
    child = subprocess.Popen(SLEEPER)
    assert os.getpgid(child.pid) != child.pid

    stopped = process.stop(process.Record("launcher", child.pid, process.start_time(child.pid)), seconds=5)

    assert stopped is True
    assert process.start_time(child.pid) == ""


def test_another_process_with_the_recorded_pid_is_left_alone() -> None:
    stale = process.Record("web", os.getpid(), started="1")

    assert not stale.is_running()
    assert process.stop(stale) is False


def test_children_of_a_killed_process_are_ended_with_its_group(tmp_path: Path) -> None:
    parent = [
        sys.executable,
        "-c",
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)",
    ]
    record = _start(tmp_path, parent)
    log = tmp_path / "sleeper.log"
    while not log.read_text().strip():
        time.sleep(0.01)
    child = process.Record("child", int(log.read_text()), process.start_time(int(log.read_text())))

    os.kill(record.pid, signal.SIGKILL)
    os.waitpid(record.pid, 0)
    process.end_group(record.pid)

    deadline = time.monotonic() + 5
    while child.is_running() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.is_running()


def test_a_server_that_ends_while_starting_is_reported_with_its_log(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", "print('No space left on device'); raise SystemExit(1)"]
    command = process.Command(name="broken", arguments=arguments, log=tmp_path / "broken.log")
    child, _ = process.start(command)

    with pytest.raises(LocalStackError) as refusal:
        process.wait_until(lambda: False, process=child, log=command.log, seconds=10)

    assert "No space left on device" in refusal.value.message
    assert refusal.value.way_out.startswith("The disk is full")


def test_a_port_in_use_is_refused_with_the_variable_that_chooses_another() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(LocalStackError, match=f"Port {port} on 127.0.0.1 is in use") as refusal:
            ports.require_free(port, variable="LOA_PORT")

    assert "LOA_PORT=" in refusal.value.way_out


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1"])
def test_an_impossible_port_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LOA_PORT", text)

    with pytest.raises(LocalStackError, match="LOA_PORT must be a port number"):
        serve.chosen_port()


def test_services_named_by_the_environment_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://loa_app@database.example.com/loa")
    monkeypatch.setenv("RPC_URL", "https://rpc.example.com")
    monkeypatch.delenv("REDIS_URL", raising=False)

    assert serve.external_services() == {"postgres", "chain"}
