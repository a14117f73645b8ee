"""What a node may use of this machine: cores it is pinned to, and a share of a core that the kernel enforces.

A machine with fewer cores than nodes cannot show what more machines would do, because the nodes take each other's
time. With a share each, every node is a small machine of its own, and the rest of the cores is the database's.
"""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
PERIOD_MICROSECONDS: Final = 20_000
ENTER: Final = 'echo $$ > "$0" && exec "$@"'


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def pinned(arguments: list[str], *, node: int) -> list[str]:
    """The command, bound to one core; nodes take turns from the highest core down, away from the servers' first."""
    available = cores()
    taskset = shutil.which("taskset")
    if taskset is None or len(available) < 2:
        return arguments
    return [taskset, "-c", str(available[-1 - node % len(available)]), *arguments]


class Share:
    """A control group with a bound on processor time, or with 0 just precedence before what else the machine does.

    `bind` it when its processes have started, which takes seconds of processor time; `remove` it afterwards.
    """

    def __init__(self, core_share: float) -> None:
        name = f"loa-scale-{secrets.token_hex(4)}"
        quota = int(core_share * PERIOD_MICROSECONDS) if core_share else 0
        if (CGROUPS / "cpu" / "cpu.cfs_quota_us").exists() or (CGROUPS / "cpu" / "cgroup.procs").exists():
            self._folder = CGROUPS / "cpu" / name
            self._limits = {"cpu.cfs_period_us": str(PERIOD_MICROSECONDS), "cpu.cfs_quota_us": str(quota or -1)}
            self._limits["cpu.shares"] = str(10 * 1024)  # what else runs here must not take the share away
        else:
            self._folder = CGROUPS / name
            self._limits = {"cpu.max": f"{quota or 'max'} {PERIOD_MICROSECONDS}", "cpu.weight": "1000"}
        self._folder.mkdir()

    def bind(self) -> None:
        """From now on the group has no more than its share."""
        for file, value in self._limits.items():
            (self._folder / file).write_text(value)

    def adopt(self, members: Iterable[int]) -> None:
        """Move running processes into the group; one that ended meanwhile is left out."""
        for member in members:
            with suppress(ProcessLookupError):
                (self._folder / "cgroup.procs").write_text(str(member))

    def around(self, arguments: list[str]) -> list[str]:
        """The command, started inside the group."""
        return ["/bin/sh", "-c", ENTER, str(self._folder / "cgroup.procs"), *arguments]

    def throttled_share(self) -> float:
        """In how many of the kernel's periods the group was stopped because it had used up its share."""
        pairs = (line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())
        facts = {name: int(value) for name, value in pairs}
        return facts.get("nr_throttled", 0) / max(1, facts.get("nr_periods", 0))

    def remove(self) -> None:
        """Take the group away; what still runs in it goes back to where groups begin."""
        for member in (self._folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (self._folder.parent / "cgroup.procs").write_text(member)
        self._folder.rmdir()


def can_share() -> bool:
    """Whether this process may make control groups with a bound on processor time."""
    try:
        share = Share(0.5)
    except OSError:
        return False
    try:
        share.bind()
    except OSError:
        return False
    finally:
        share.remove()
    return True
