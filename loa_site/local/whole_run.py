"""The whole suite: its folders, in parts of a few files, each a pytest process with fresh servers.

What one part leaves in Postgres, Redis, the chain or the process cannot reach another, and which files share a process
does not depend on how fast a machine is. Three parts run at a time (TEST_WORKERS): most tests wait for blocks, leases
and killed processes. Under CI the few tests that failed are named and run once more, one by one, each with fresh
servers and nothing beside it; what fails twice fails the run.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from loa_site.local import binaries
from loa_site.local.test_report import COUNTED, REPORT, Report
from loa_site.local.test_servers import environment

TESTS = binaries.ROOT / "tests"
WORKERS = 3  # two cores hold them, and more would make tests of timing late
FILES_MAX = 6  # of a part: its process costs some seconds to start
FLAKY_MAX = 12  # more failures than this are no accident of timing
NO_TESTS = 5  # pytest's exit code when there was nothing to run
# Folders whose tests wait longest begin first, so that none of them is left alone at the end.
LONG_FOLDERS = ("faults", "storm", "drill", "packaging", "browser", "journeys", "attacks", "load", "workers", "fuzz")


@dataclass(frozen=True)
class Part:
    """What one pytest process runs: its name for people, and pytest's arguments."""

    name: str
    selection: tuple[str, ...]


@dataclass
class Outcome:
    """What became of a part."""

    part: Part
    report: Report
    output: str
    seconds: float


def run() -> int:
    """Run every test; 0 when all held. Prints a line for each part, the output of those that failed, and a summary."""
    started = time.monotonic()
    parts = parts_of_suite()
    with _children() as children:
        outcomes = run_parts(parts, children=children)
        failed = [name for outcome in outcomes for name in outcome.report.failed]
        again = []
        if failed and len(failed) <= FLAKY_MAX and os.environ.get("CI") == "true":
            print("\nThese failed and are run once more, one by one:", *failed, sep="\n  ", flush=True)
            again = run_parts([Part(name, (name,)) for name in failed], children=children, workers=1)
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.report.counts)
    if again:
        held = [outcome.part.name for outcome in again if not outcome.report.failed]
        failed = [outcome.part.name for outcome in again if outcome.report.failed]
        counts.update({"passed": len(held), "failed": len(failed) - counts["failed"], "error": -counts["error"]})
        print("\nflaky, and wanting an issue:", *(held or ["none"]), sep="\n  ")
    print(*(f"FAILED {name}" for name in failed), sep="\n")
    print(summary(counts, seconds=time.monotonic() - started), flush=True)
    return 1 if failed or not counts["passed"] else 0


def parts_of_suite(tests: Path = TESTS) -> list[Part]:
    """The suite's files, each in exactly one part: files of one folder, at most FILES_MAX; long folders first."""
    folders: dict[Path, list[Path]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        folders.setdefault(path.parent, []).append(path)
    parts = []
    for folder, files in folders.items():
        name = str(folder.relative_to(tests.parent))
        many = -(-len(files) // FILES_MAX)
        for number in range(many):
            own = tuple(str(path.relative_to(tests.parent)) for path in files[number::many])
            parts.append(Part(f"{name} ({number + 1} of {many})" if many > 1 else name, own))
    return sorted(parts, key=_order)


def _order(part: Part) -> tuple[int, int]:
    folder = Path(part.selection[0]).parts[1]
    first = LONG_FOLDERS.index(folder) if folder in LONG_FOLDERS else len(LONG_FOLDERS)
    return first, -len(part.selection)


def summary(counts: Counter[str], *, seconds: float) -> str:
    """The last line of a run, in the form pytest gives it."""
    words = {"error": "errors"}
    told = [f"{counts[word]} {words.get(word, word)}" for word in COUNTED if counts[word]]
    return f" {', '.join(told) or 'no tests ran'} in {seconds:.2f}s ".center(80, "=")


@dataclass
class Children:
    """The pytest processes that run now; after `end` none is started any more."""

    running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    is_ending: bool = False
    lock: Lock = field(default_factory=Lock)

    def end(self) -> None:
        with self.lock:
            self.is_ending = True
            for child in self.running:
                child.terminate()


@contextmanager
def _children() -> Iterator[Children]:
    """The processes of a run, asked to end when the run is."""
    children = Children()
    previous = signal.signal(signal.SIGTERM, lambda *_: children.end())
    try:
        yield children
    except KeyboardInterrupt:
        children.end()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def run_parts(parts: Sequence[Part], *, children: Children, workers: int | None = None) -> list[Outcome]:
    """Run the parts, a few at a time, and tell of each when it has ended."""
    outcomes = []
    with ThreadPoolExecutor(workers or int(os.environ.get("TEST_WORKERS", WORKERS))) as pool:
        for future in as_completed([pool.submit(_run_part, part, children) for part in parts]):
            outcome = future.result()
            outcomes.append(outcome)
            told = ", ".join(
                f"{outcome.report.counts[word]} {word}" for word in COUNTED if word in outcome.report.counts
            )
            place = f"[{len(outcomes)}/{len(parts)}]"
            print(f"{place:>8} {outcome.part.name}: {told or 'no tests'} in {outcome.seconds:.0f}s", flush=True)
            if outcome.report.failed:
                print(outcome.output, flush=True)
    return outcomes


def _run_part(part: Part, children: Children) -> Outcome:
    """Run one part with fresh servers. A process that ends without a report, or badly, has failed as a whole."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="loa-part-") as folder, environment() as variables:
        report_file, output_file = Path(folder) / "report.json", Path(folder) / "output.txt"
        command = [sys.executable, "-m", "pytest", "-p", "loa_site.local.test_report", "-q", *part.selection]
        with output_file.open("wb") as output, children.lock:
            if children.is_ending:
                raise KeyboardInterrupt
            child = subprocess.Popen(
                command,
                cwd=binaries.ROOT,
                env=os.environ | variables | {REPORT: str(report_file)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            children.running.add(child)
        code = child.wait()
        with children.lock:
            children.running.discard(child)
        text = output_file.read_text(errors="replace")
        report = Report.read(report_file)
        if report is None or (code not in (0, NO_TESTS) and not report.failed):
            text += f"\n{part.name}: pytest ended with {code} before its tests had"
            report = Report({"error": 1}, [part.selection[0]])
    return Outcome(part, report, text, time.monotonic() - started)
