"""Metrics of several processes as one: what the web server's workers, and a Celery worker's children, counted together.

With `PROMETHEUS_MULTIPROC_DIR` each process keeps its figures in files there, and whoever is scraped adds them up.
What a process counted stays when it ends; what it was (its gauges) goes with it.
"""

import os
from pathlib import Path

import prometheus_client
from prometheus_client import multiprocess

from telemetry.metrics_folder import FOLDER_VARIABLE


def folder() -> Path | None:
    """Where the processes keep their figures; None when each counts alone."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


def prune_dead() -> int:
    """Remove the live gauges of processes that are gone; how many processes that were."""
    kept = folder()
    if kept is None or not kept.is_dir():
        return 0
    gone = {pid for pid in (_pid_of(path) for path in kept.glob("gauge_live*.db")) if pid and not _runs(pid)}
    for pid in gone:
        multiprocess.mark_process_dead(pid, str(kept))
    return len(gone)


def registry() -> prometheus_client.CollectorRegistry:
    """What a scrape shows: every process's figures together, or this process's alone."""
    if folder() is None:
        return prometheus_client.REGISTRY
    together = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(together)
    return together


def serve(port: int, host: str) -> None:
    """Answer scrapes on a port of its own, for processes that serve nothing else."""
    prune_dead()
    prometheus_client.start_http_server(port, addr=host, registry=registry())


def _pid_of(path: Path) -> int:
    number = path.stem.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
