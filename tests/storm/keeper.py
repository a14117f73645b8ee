"""The site's processes: started, killed, paused and started again, as an orchestrator would."""

import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from loa_site.local import process
from tests.storm.plan import Shape

RESTART_SECONDS = 0.5
END_SECONDS = 12.0
PYTHON = (sys.executable, "-m")


@dataclass(slots=True)
class Kept:
    """One process that is meant to run."""

    command: process.Command
    record: process.Record | None = None
    died_at: float = 0.0
    asked_to_end_at: float = 0.0


@dataclass(slots=True)
class Keeper:
    """All processes by name. Only one thread may call it, and it must outlive them: they end with it."""

    kept: dict[str, Kept] = field(default_factory=dict)
    restarts: Counter[str] = field(default_factory=Counter)

    def start(self, command: process.Command) -> None:
        """Start a process, and from now on keep it running."""
        _, record = process.start(command)
        self.kept[command.name] = Kept(command, record)

    def watch(self) -> None:
        """Start again what has died; kill what was asked to end and does not."""
        now = time.monotonic()
        for name, one in self.kept.items():
            if one.record is not None and one.record.is_running():
                if one.asked_to_end_at and now - one.asked_to_end_at > END_SECONDS:
                    self.signal(name, signal.SIGKILL)
                continue
            if one.record is not None:
                process.end_group(one.record.pid)
                process.stop(one.record)
                with suppress(ChildProcessError):
                    os.waitpid(one.record.pid, os.WNOHANG)
                one.record, one.died_at, one.asked_to_end_at = None, now, 0.0
            if now - one.died_at >= RESTART_SECONDS:
                _, one.record = process.start(one.command)
                self.restarts[name] += 1

    def signal(self, name: str, number: int) -> None:
        """Signal a process and its children."""
        one = self.kept[name]
        if one.record is None:
            return
        if number == signal.SIGTERM:
            one.asked_to_end_at = time.monotonic()
            with suppress(ProcessLookupError):
                os.kill(one.record.pid, number)
            return
        with suppress(ProcessLookupError):
            os.killpg(one.record.pid, number)

    def replace(self, name: str, **variables: str) -> None:
        """Kill a process; the next one has these variables."""
        one = self.kept[name]
        environment = {**(one.command.environment or {}), **variables}
        one.command = process.Command(one.command.name, one.command.arguments, one.command.log, environment=environment)
        self.signal(name, signal.SIGKILL)

    def stop(self) -> None:
        """End all of them for good."""
        records = [one.record for one in self.kept.values() if one.record is not None]
        for record in records:
            with suppress(ProcessLookupError):
                os.killpg(record.pid, signal.SIGCONT)
            process.end_group(record.pid)
        process.stop_all(records, seconds=2.0)
        self.kept.clear()


def commands(
    shape: Shape, folder: Path, *, ports: dict[str, int], web: dict[str, str], work: dict[str, str]
) -> list[process.Command]:
    """How each process is started: web on its port, relayers on the queue of settlements, workers on the other."""
    lines: dict[str, tuple[list[str], dict[str, str]]] = {}
    for name in shape.processes:
        if name.startswith("web"):
            lines[name] = (_web_line(ports[name], shape.threads), web)
        elif name == "beat":
            lines[name] = (_celery_line(["beat", "--schedule", str(folder / "beat-schedule"), "--pidfile", ""]), work)
        else:
            queue = "settlement" if name.startswith("relayer") else "default"
            line = ["worker", "-Q", queue, "-c", "1", "-n", f"{name}@%h", "--without-mingle", "--without-gossip"]
            lines[name] = (_celery_line(line), work)
    return [
        process.Command(name, line, folder / f"{name}.log", environment=variables)
        for name, (line, variables) in lines.items()
    ]


def _web_line(port: int, threads: int) -> list[str]:
    line = [*PYTHON, "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"]
    line += ["--workers", "1", "--blocking-threads", str(threads), "--http", "1", "--workers-kill-timeout", "7"]
    return [*line, "loa_site.wsgi:application"]


def _celery_line(rest: list[str]) -> list[str]:
    return [*PYTHON, "celery", "-A", "loa_site.celery", *rest, "--loglevel", "info"]
