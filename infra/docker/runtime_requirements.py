"""Print the part of requirements.lock that running needs: what the project depends on, and what that depends on.

`python runtime_requirements.py pyproject.toml requirements.lock > runtime.lock`. The lock says who wants each package.
"""

import re
import sys
import tomllib
from pathlib import Path

NAME = re.compile(r"^([A-Za-z0-9_.-]+)")
WANTED_BY = re.compile(r"^\s+#\s+(?:via\s+)?(\S.*)$")


def normal(name: str) -> str:
    """A package's name as everybody compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> dict[str, str]:
    """The lines of each package, by its name."""
    found: dict[str, str] = {}
    current = ""
    for line in lock.splitlines(keepends=True):
        if line[0] not in " #\n":
            current = normal(NAME.findall(line)[0])
        if current:
            found[current] = found.get(current, "") + line
    return found


def wanted_by(block: str) -> set[str]:
    """Who asked for a package, as its comment says."""
    names = [match[1] for line in block.splitlines() if (match := WANTED_BY.match(line))]
    return {normal(re.split(r"[\[ (]", name)[0]) for name in names if name != "via"}


def needed(lock: dict[str, str], declared: set[str]) -> list[str]:
    """Every package of the lock that running needs."""
    chosen = {name for name in lock if name in declared}
    while True:
        more = {name for name in lock if name not in chosen and wanted_by(lock[name]) & chosen}
        if not more:
            return sorted(chosen)
        chosen |= more


def main(project: str, lock_file: str) -> None:
    """Write the chosen blocks to standard output."""
    dependencies = tomllib.loads(Path(project).read_text())["project"]["dependencies"]
    declared = {normal(NAME.findall(line)[0]) for line in dependencies}
    lock = blocks(Path(lock_file).read_text())
    sys.stdout.write("".join(lock[name] for name in needed(lock, declared)))


if __name__ == "__main__":
    main(*sys.argv[1:])
