"""Starting and stopping a server: own process group, log file, readiness, and an end that leaves nothing behind.

A recorded pid alone is not trusted: the process that has it today may be another one. A record therefore carries
the start time the system gives for the pid, and only a process with the same start time is ours.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loa_site.local.errors import LocalStackError

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.01
STOP_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system account a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down about a running process."""

    name: str
    pid: int
    started: str
    stop_signal: int = signal.SIGTERM

    def is_running(self) -> bool:
        """Whether the very process this record was made of still runs."""
        return self.started != "" and start_time(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server."""

    name: str
    arguments: Sequence[str]
    log: Path
    stop_signal: int = signal.SIGTERM
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    outlives_starter: bool = False


def start(command: Command) -> tuple[subprocess.Popen[bytes], Record]:
    """Start a server in its own process group, its output appended to its log."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    account = command.account
    with command.log.open("ab") as log:
        process = subprocess.Popen(
            list(command.arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if command.environment is None else dict(command.environment),
            cwd="/" if account else None,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=None if command.outlives_starter else _end_with_parent(command.stop_signal),
        )
    return process, Record(command.name, process.pid, start_time(process.pid), command.stop_signal)


def wait_until(is_ready: Callable[[], bool], *, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Return when the server answers; raise LocalStackError with the end of its log when it ends or stays silent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_ready():
            return
        if process.poll() is not None:
            raise LocalStackError(f"{log.stem} ended while starting:\n{last_lines(log)}", way_out_of(log))
        time.sleep(POLL_SECONDS)
    raise LocalStackError(f"{log.stem} did not answer within {seconds:g} s:\n{last_lines(log)}", way_out_of(log))


def stop(record: Record, *, seconds: float = STOP_SECONDS) -> bool:
    """End the recorded process and its group; first asked, then killed. False when it was not running any more."""
    return bool(stop_all([record], seconds=seconds))


def stop_all(records: Sequence[Record], *, seconds: float = STOP_SECONDS) -> list[Record]:
    """End several processes at once, each with its group: all are asked first, who then stays is killed.

    Returns those that were still running.
    """
    running = [record for record in records if record.is_running()]
    for record in running:
        _signal_group(record.pid, record.stop_signal)
    deadline = time.monotonic() + seconds
    for record in running:
        while record.is_running() and time.monotonic() < deadline:
            _reap(record.pid)
            time.sleep(POLL_SECONDS)
        end_group(record.pid)
        while record.is_running():
            _reap(record.pid)
            time.sleep(POLL_SECONDS)
    return running


def end_group(leader: int) -> None:
    """Kill what is left of a process's group after the process itself has ended."""
    _signal_group(leader, signal.SIGKILL)


def start_time(pid: int) -> str:
    """What the system says about when the process began; empty when there is no such process, or only its remains."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in {"Z", "X"} else fields[19]
    listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip()


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, indented for a message."""
    if not log.exists():
        return "    (no output)"
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "\n".join(f"    {line}" for line in lines) or "    (no output)"


def way_out_of(log: Path) -> str:
    """The advice that fits what the log says."""
    text = log.read_text(errors="replace")[-4000:].lower() if log.exists() else ""
    if "no space left on device" in text:
        return "The disk is full: free some space and start again; nothing that was committed is lost."
    if "address already in use" in text:
        return "Another program has the port: stop it or choose another port."
    return f"The whole log is in {log}. `make reset` starts over with an empty data folder."


def _signal_group(pid: int, number: int) -> None:
    """Signal the process and its group; a launcher that a shell or make started leads no group and is signalled alone.

    A leader that has ended may have left members of its group behind, so a pid without a process is tried as a group.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if _leads_a_group(pid):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _leads_a_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return True


def _reap(pid: int) -> None:
    """Collect a child that has ended, so that it does not stay as a zombie; others are not ours to collect."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _end_with_parent(number: int) -> Callable[[], None] | None:
    """On Linux the kernel signals the server when its starter dies, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)

    def ask_kernel() -> None:
        library.prctl(PR_SET_PDEATHSIG, number)

    return ask_kernel
