"""The figures of the ledger at the size of the database it is pointed at, one JSON line each; see `__main__`.

Runs as the site does, as the application's role. Nothing it writes is kept.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import django

REPEATS = 300
PAGES = 7


def main() -> None:
    """Every figure, or those that are named."""
    django.setup()
    only = sys.argv[1].split(",") if len(sys.argv) > 1 and sys.argv[1] else []
    figures = {"balance": balance, "pages": pages, "customers": customers, "sweeps": sweeps}
    for name, measure in (figures | {"verify": verify, "export": export, "archive": archive}).items():
        if not only or name in only:
            started = time.monotonic()
            figure = measure()
            print(json.dumps({name: figure, "seconds": round(time.monotonic() - started, 1)}), flush=True)


def balance() -> dict[str, Any]:
    """Milliseconds of a balance now and at a moment, by account: median, and the slowest in twenty."""
    from billing.selectors.balances import balance_at, balance_of
    from tests.generator.reading import accounts, samples

    given, figures = samples(), {}
    for name, denomination in accounts(given):
        label = name.rpartition(":")[0] if name.startswith("system:credit") else name
        now = timed(lambda one=name, unit=denomination: balance_of(one, unit), times=REPEATS)
        then = timed(
            lambda one=name, unit=denomination: balance_at(one, unit, recorded_at=given.moment), times=REPEATS // 10
        )
        figures[label] = {"now": now, "at": then}
    return figures


def pages() -> dict[str, Any]:
    """Milliseconds of each staff page: the best known slow ones by name, and how many were slower than 300."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.db import transaction
    from django.test import Client
    from django.urls import reverse

    from tests.generator.reading import samples, staff_pages

    settings.ALLOWED_HOSTS = ["*"]
    figures: dict[str, float] = {}
    with transaction.atomic():
        staff = Client()
        staff.force_login(User.objects.create_superuser("measuring", password="only-for-tests"))
        for page in [reverse("admin:index"), *staff_pages(samples())]:
            staff.get(page)
            figures[page] = timed(lambda address=page: staff.get(address), times=PAGES)["median_ms"]
        transaction.set_rollback(True)
    slowest = dict(sorted(figures.items(), key=lambda item: -item[1])[:8])
    named = {page: figures[page] for page in figures if page.endswith(("journal/", "statement/"))}
    return {"pages": len(figures), "over_300_ms": sum(one > 300 for one in figures.values())} | named | slowest


def customers() -> dict[str, Any]:
    """Milliseconds of what payers and visitors ask for, and what the waitlist holds."""
    from tests.generator.reading import one, samples
    from tests.generator.sweeping import customer_calls

    figures = {name: timed(call, times=PAGES) for name, call in customer_calls(samples()).items()}
    return {"waitlist_entries": one("SELECT count(*) FROM waitlist_entry")} | figures


def sweeps() -> dict[str, Any]:
    """Milliseconds of each sweep when nothing is due and when a part is, and of each query for what is due."""
    from django.db import transaction

    from tests.generator.sweeping import DUE, SWEEPS, let_all_gas_be_booked, make_due, name_of, query

    found = {name: timed(query(*due), times=PAGES)["median_ms"] for name, due in DUE.items()}
    with transaction.atomic():
        let_all_gas_be_booked()
        at_rest = {name_of(sweep): once(sweep) for sweep in SWEEPS}
        make_due()
        with_work = {name_of(sweep): once(sweep) for sweep in SWEEPS}
        transaction.set_rollback(True)
    return {"what_is_due_ms": found, "at_rest_ms": at_rest, "with_work_ms": with_work}


def archive() -> dict[str, Any]:
    """Journals archived a second, the file's bytes for each, and journals proved a second from the file alone."""
    from billing.services.archives import archive_month, archives_in, findings_of, months_to_archive

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        month = months_to_archive(place)[1]
        started = time.monotonic()
        done = archive_month(place, month)
        written = time.monotonic()
        findings = list(findings_of(archives_in(place)))
        ended = time.monotonic()
        size = done.path.stat().st_size
    return {
        "month": str(month),
        "journals": done.journals,
        "journals_per_second": int(done.journals / (written - started)),
        "bytes_a_journal": round(size / done.journals),
        "proved_per_second": int(done.journals / (ended - written)),
        "findings": len(findings),
    }


def once(work: Callable[[], Any]) -> float:
    """Milliseconds of one run."""
    started = time.perf_counter()
    work()
    return round((time.perf_counter() - started) * 1000, 2)


def verify() -> dict[str, Any]:
    """Postings proved a second, when each check was done, and the most memory of a server process and of the client."""
    from django.db import connection

    from billing.services.verification import verify_ledger

    marks: dict[str, float] = {}
    started = time.monotonic()
    with peak_memory(connection.settings_dict["NAME"]) as peaks:
        verification = verify_ledger(progress=lambda check: marks.update({check: time.monotonic()}))
    return {
        "clean": verification.is_clean,
        "postings": verification.posting_count,
        "postings_per_second": int(verification.posting_count / verification.seconds),
        "done_after_seconds": {name: round(at - started, 1) for name, at in marks.items()},
        "server_mb": peaks["server"],
        "client_mb": peaks["client"],
    }


def export() -> dict[str, Any]:
    """Lines exported as CSV a second, and the most memory the process and its server took, in megabytes."""
    from django.db import connection

    from billing.services.exports import export_csv

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        with peak_memory(connection.settings_dict["NAME"]) as peaks:
            done = export_csv(Path(folder) / "ledger.csv")
        size = done.path.stat().st_size
    seconds = time.monotonic() - started
    return {
        "lines": done.line_count,
        "lines_per_second": int(done.line_count / seconds),
        "file_mb": size // 2**20,
        "server_mb": peaks["server"],
        "client_mb": peaks["client"],
    }


def timed(work: Callable[[], Any], *, times: int) -> dict[str, float]:
    """Median and 95th percentile of so many runs, in milliseconds."""
    work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return {"median_ms": round(statistics.median(taken), 3), "p95_ms": round(taken[int(len(taken) * 0.95)], 3)}


@contextmanager
def peak_memory(database: str) -> Iterator[dict[str, int]]:
    """The most private memory of this process, and of any one server process on the database, in megabytes."""
    peaks, done = {"server": 0, "client": 0}, threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            peaks["client"] = max(peaks["client"], private_megabytes(Path(f"/proc/{os.getpid()}")))
            peaks["server"] = max([peaks["server"], *map(private_megabytes, server_processes(database))])

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()


def server_processes(database: str) -> list[Path]:
    """The backends of a database, which name it in their title."""
    titles = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            titles[process] = (process / "cmdline").read_bytes()
    return [
        process for process, title in titles.items() if title.startswith(b"postgres:") and database.encode() in title
    ]


def private_megabytes(process: Path) -> int:
    """Private memory of a process; nothing of one that has ended."""
    with suppress(OSError):
        lines = [one for one in (process / "status").read_text().splitlines() if one.startswith("RssAnon")]
        return int(lines[0].split()[1]) // 1024 if lines else 0
    return 0


if __name__ == "__main__":
    main()
