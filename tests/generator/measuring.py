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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

REPEATS = 300
PAGES = 7


def main() -> None:
    """Every figure, or the one that is named."""
    django.setup()
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, measure in {"balance": balance, "pages": pages, "verify": verify, "export": export}.items():
        if not only or only == name:
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


def verify() -> dict[str, Any]:
    """Postings proved a second, seconds by check, and the most memory that server and client took, in megabytes."""
    from django.db import connection

    from billing.services.verification import verify_ledger

    connection.ensure_connection()
    marks: list[tuple[str, float]] = []
    with peak_memory(connection.connection.info.backend_pid, os.getpid()) as peaks:
        verification = verify_ledger(progress=lambda check: marks.append((check, time.monotonic())))
    ends = [*[at for _, at in marks[1:]], time.monotonic()]
    return {
        "clean": verification.is_clean,
        "postings": verification.posting_count,
        "postings_per_second": int(verification.posting_count / verification.seconds),
        "by_check": {name: round(end - at, 1) for (name, at), end in zip(marks, ends, strict=True)},
        "server_mb": peaks[0],
        "client_mb": peaks[1],
    }


def export() -> dict[str, Any]:
    """Lines exported as CSV a second, and the most memory the process and its server took, in megabytes."""
    from django.db import connection

    from billing.services.exports import export_csv

    connection.ensure_connection()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        with peak_memory(connection.connection.info.backend_pid, os.getpid()) as peaks:
            done = export_csv(Path(folder) / "ledger.csv")
        size = done.path.stat().st_size
    seconds = time.monotonic() - started
    return {
        "lines": done.line_count,
        "lines_per_second": int(done.line_count / seconds),
        "file_mb": size // 2**20,
        "server_mb": peaks[0],
        "client_mb": peaks[1],
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
def peak_memory(*processes: int) -> Iterator[list[int]]:
    """The most private memory each process had during the block, in megabytes, looked at every fifth of a second."""
    peaks, done = [0] * len(processes), threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            for place, process in enumerate(processes):
                status = Path(f"/proc/{process}/status").read_text()
                [line] = [one for one in status.splitlines() if one.startswith("RssAnon")]
                peaks[place] = max(peaks[place], int(line.split()[1]) // 1024)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    main()
