"""The whole site in processes of its own, for suites that judge it from outside.

It is started the way a developer starts it (`python -m loa_site.local serve`), over a folder of its own, so that it
disturbs neither a running demo nor its data; `.loa/…/run.json` then says where everything is.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loa_site.local import binaries, ports

START_SECONDS = 300.0  # of a machine that does much else; a start takes fifteen
STOP_SECONDS = 40.0


class SiteDidNotStart(Exception):
    """Raised when the site ends or stays silent before it is ready; the message is the end of its output."""


@contextmanager
def running_site(
    home: Path, *, variables: Mapping[str, str] | None = None, fresh: bool = False
) -> Iterator[dict[str, Any]]:
    """A running site; yields what its `run.json` says, and ends it afterwards.

    With `fresh` the folder is emptied first, so that chain and database are new. Raises SiteDidNotStart.
    """
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    run_file = home / "run.json"
    run_file.unlink(missing_ok=True)
    environment = os.environ | dict(variables or {}) | {"LOCAL_HOME": str(home), "LOA_PORT": str(ports.free_port())}
    for inherited in ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "RPC_URL", "CELERY_BROKER_URL"):
        environment.pop(inherited, None)
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    with (home / "output.log").open("w") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "loa_site.local", "serve"],
            cwd=binaries.ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(run_file, launcher=launcher, output=home / "output.log")
        yield json.loads(run_file.read_text())
    finally:
        launcher.send_signal(signal.SIGINT)
        try:
            launcher.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            launcher.terminate()
            launcher.wait(STOP_SECONDS)


def wait_for(run_file: Path, *, launcher: subprocess.Popen[bytes], output: Path) -> None:
    """Return when the site is ready. Raises SiteDidNotStart."""
    deadline = time.monotonic() + START_SECONDS
    while not run_file.exists():
        if launcher.poll() is not None or time.monotonic() > deadline:
            raise SiteDidNotStart(output.read_text()[-2000:])
        time.sleep(0.1)
