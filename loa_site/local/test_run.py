"""A run of the tests: pytest as a child process with servers of its own.

Some paths are one process. The whole suite is many: each folder of tests, in parts of a few files, is a process with
fresh servers, and a few of them run at the same time (`whole_run`).
"""

import os
import signal
import subprocess
import sys

from loa_site.local import binaries, whole_run
from loa_site.local.test_servers import environment


def run(arguments: list[str], *, reuse: bool = False) -> int:
    """Run pytest with the arguments, or the whole suite without any; the exit code."""
    if not arguments and not reuse:
        return whole_run.run()
    with environment(reuse=reuse) as variables:
        child = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments], cwd=binaries.ROOT, env=os.environ | variables
        )
        return _wait(child)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for pytest; Ctrl-C is pytest's to handle, a request to end is passed on to it."""
    previous_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    previous_end = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, previous_interrupt)
        signal.signal(signal.SIGTERM, previous_end)
