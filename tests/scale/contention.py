"""What the nodes waited for: the database's own wait events, sampled, and whose processor time it was.

A backend that waits for a lock says so in pg_stat_activity (`Lock` for rows and relations, `LWLock` and `BufferPin`
inside the server); one that waits for the disk says `IO`; one that works says nothing. When cores are the limit, no
processor is idle and hardly any backend waits for a lock.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.bench.x402 import CLOCK_TICKS, cpu_seconds, family_of

SAMPLE_SECONDS = 0.05
LOCKS = frozenset({"Lock", "LWLock", "BufferPin"})
# Who commits while another flushes the log waits for that flush, under the name of a lock: it is the disk's time.
FLUSH = frozenset({("LWLock", "WALWrite"), ("LWLock", "WALInsert"), ("IO", "WALSync"), ("IO", "WALWrite")})
SAMPLE = """
SELECT coalesce(wait_event_type, 'CPU'), coalesce(wait_event, 'running')
FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
ROW_LOCKS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@dataclass
class Contention:
    """Samples while it is open as a context. `groups` names process ids by what they are."""

    database_url: str
    groups: Mapping[str, Iterable[int]]
    waits: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: int = 0
    ungranted: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._cpu_before, self._machine_before = self._cpu(), _machine_ticks()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._sample, name="contention", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._began
        after, machine = self._cpu(), _machine_ticks()
        self.cpu = {name: after[name] - self._cpu_before[name] for name in after}
        busy, total = (now - before for now, before in zip(machine, self._machine_before, strict=True))
        self.machine_busy = busy / max(1, total)
        self._done.set()
        self._thread.join()

    def figures(self) -> dict[str, object]:
        """Shares of one: of backends at work by what they waited for, of the machine by what used it."""
        active = sum(self.waits.values())
        kinds: Counter[str] = Counter()
        for (kind, _), count in self.waits.items():
            kinds[kind] += count
        locked = sum(count for event, count in self.waits.items() if event[0] in LOCKS and event not in FLUSH)
        return {
            "samples": self.samples,
            "active_backends_mean": round(active / max(1, self.samples), 2),
            "wait_shares": {kind: round(count / max(1, active), 4) for kind, count in kinds.most_common()},
            "flush_share": round(sum(self.waits[event] for event in FLUSH) / max(1, active), 4),
            "lock_share": round(locked / max(1, active), 4),
            "row_lock_share": round(kinds["Lock"] / max(1, active), 4),
            "locks_not_granted_mean": round(self.ungranted / max(1, self.samples), 4),
            "top_waits": {":".join(event): count for event, count in self.waits.most_common(6)},
            "machine_busy": round(self.machine_busy, 3),
            "cpu_seconds": {name: round(used, 2) for name, used in self.cpu.items()},
        }

    def _sample(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            while not self._done.wait(SAMPLE_SECONDS):
                self.waits.update((kind, event) for kind, event in connection.execute(SAMPLE).fetchall())
                row = connection.execute(ROW_LOCKS).fetchone()
                self.ungranted += row[0] if row else 0
                self.samples += 1

    def _cpu(self) -> dict[str, float]:
        return {name: sum(_family_seconds(pid) for pid in pids) for name, pids in self.groups.items()}


def _family_seconds(pid: int) -> float:
    """Processor time of a process and of what it started, the ended ones included; nothing of one that is gone."""
    used = 0.0
    for member in _members(pid):
        try:
            used += cpu_seconds(member)
        except OSError:
            continue
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return used
    return used + (int(fields[13]) + int(fields[14])) / CLOCK_TICKS


def _members(pid: int) -> list[int]:
    try:
        return family_of(pid)
    except OSError:
        return [pid]


def _machine_ticks() -> tuple[int, int]:
    """Ticks all processors were busy, and all ticks there were."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    total = sum(fields)
    return total - fields[3] - fields[4], total
