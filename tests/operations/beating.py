"""Real beat and worker processes of the site for a test, with a heartbeat each second, on a broker of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from tests.journeys.live_site import ROOT

PROGRAMS = {
    "beat": ["beat", "--pidfile", ""],
    "worker": ["worker", "-Q", "default", "-c", "1", "--without-mingle", "--without-gossip", "-n", "beat-test@%h"],
}


@contextmanager
def running(
    kind: str, folder: Path, *, variables: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """One of the two programs, writing to its own log in the folder; killed when the block ends."""
    arguments = [*PROGRAMS[kind], *(["--schedule", str(folder / "schedule")] if kind == "beat" else [])]
    broker = settings.REDIS_URL.rpartition("/")[0] + "/8"
    with (folder / f"{kind}.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.operations.fast_beat", *arguments],
            cwd=ROOT,
            env=os.environ | {"CELERY_BROKER_URL": broker} | (variables or {}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)
