"""A pytest plugin: writes what became of each test into the file that TEST_REPORT names, for whoever started pytest."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

REPORT = "TEST_REPORT"
COUNTED = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


@dataclass
class Report:
    """How many tests ended in each way, by pytest's words, and the names of those that failed or broke."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the report into a file."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The report in a file; None when pytest ended before it wrote one."""
        return cls(**json.loads(path.read_text())) if path.exists() else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Called by pytest when all tests have run; `terminalreporter.stats` has the outcomes by its words."""
    stats: dict[str, list[Any]] = terminalreporter.stats
    failed = [outcome.nodeid for word in ("failed", "error") for outcome in stats.get(word, [])]
    counts = {word: len(stats[word]) for word in COUNTED if stats.get(word)}
    Report(counts, list(dict.fromkeys(failed))).write(Path(os.environ[REPORT]))
