"""Keeps processes running, writes down which they are, and ends them all.

A process that dies is started again after a pause, as a deployment would; one that dies again and again is a fault
that restarting does not mend, and is reported with the end of its log.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from loa_site.local import process
from loa_site.local.errors import LocalStackError
from loa_site.local.stack import write_private

RESTARTS, RESTART_WINDOW_SECONDS = 5, 60.0
RESTART_PAUSE_SECONDS = 0.5
WATCH_SECONDS = 0.25


@dataclass(slots=True)
class Supervisor:
    """The site's processes; `record` is the file that names them for `make stop`."""

    record: Path
    servers: Callable[[], list[process.Record]]
    report: Callable[[str], None]
    _commands: dict[str, process.Command] = field(default_factory=dict)
    _running: dict[str, process.Record] = field(default_factory=dict)
    _deaths: dict[str, deque[float]] = field(default_factory=dict)

    def start(self, commands: Iterable[process.Command]) -> None:
        """Start the commands and write them down."""
        for command in commands:
            self._commands[command.name] = command
            _, self._running[command.name] = process.start(command)
        self._write()

    def watch(self, *, is_ending: Callable[[], bool]) -> None:
        """Return when asked to end; meanwhile start again what dies.

        Raises LocalStackError when a server died, or a process died too often.
        """
        while not is_ending():
            for server in self.servers():
                if not server.is_running():
                    raise LocalStackError(f"The {server.name} server ended.", "Start again; its log is in its folder.")
            for name, record in list(self._running.items()):
                if not record.is_running():
                    self._restart(name, record)
            time.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        """End all processes, and remove the record."""
        process.stop_all(list(self._running.values()))
        self._running.clear()
        self.record.unlink(missing_ok=True)

    def pids(self) -> dict[str, int]:
        """The processes by name, our own and the servers' included."""
        return {"launcher": os.getpid()} | {
            entry.name: entry.pid for entry in [*self.servers(), *self._running.values()]
        }

    def require_running(self) -> None:
        """Raise LocalStackError when one of the processes has ended."""
        for name, record in self._running.items():
            if not record.is_running():
                log = self._commands[name].log
                raise LocalStackError(
                    f"{name} ended while starting:\n{process.last_lines(log)}", process.way_out_of(log)
                )

    def _restart(self, name: str, record: process.Record) -> None:
        deaths = self._deaths.setdefault(name, deque(maxlen=RESTARTS))
        deaths.append(time.monotonic())
        log = self._commands[name].log
        if len(deaths) == RESTARTS and deaths[-1] - deaths[0] < RESTART_WINDOW_SECONDS:
            raise LocalStackError(f"{name} keeps ending:\n{process.last_lines(log)}", process.way_out_of(log))
        process.end_group(record.pid)
        self.report(f"{name} ended and is started again (log: {log}).")
        time.sleep(RESTART_PAUSE_SECONDS)
        _, self._running[name] = process.start(self._commands[name])
        self._write()

    def _write(self) -> None:
        launcher = process.Record("launcher", os.getpid(), process.start_time(os.getpid()))
        entries = [launcher, *self.servers(), *self._running.values()]
        write_private(self.record, json.dumps({"processes": [asdict(entry) for entry in entries]}, indent=2))
