"""A process that runs one task and ends, to be killed inside it: `python -m tests.workers.task_process NAME`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(task: str, *, crash_point: str = "", **variables: str) -> int:
    """Run a task in a process of its own; its exit code, -9 when the crash point killed it."""
    chosen = {"LOA_CRASH_POINTS": crash_point} if crash_point else {}
    command = [sys.executable, "-m", "tests.workers.task_process", task]
    child = subprocess.run(
        command, cwd=ROOT, env=os.environ | chosen | variables, capture_output=True, timeout=60, check=False
    )
    assert child.returncode in (0, -signal.SIGKILL), child.stderr.decode()[-3000:]
    return child.returncode


def main(name: str) -> None:
    import django

    django.setup()
    from loa_site.celery import application

    application.tasks[name]()


if __name__ == "__main__":
    main(sys.argv[1])
