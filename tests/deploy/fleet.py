"""The processes of a deployment: web servers, workers and beat, each of one release, each with a log of its own."""

import http.client
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from loa_site.local import ports
from tests.deploy.releases import Release

START_SECONDS = 120
END_SECONDS = 60  # what a task has between SIGTERM and SIGKILL (`stopTimeout`)


@dataclass(slots=True)
class Running:
    """One process. `port` is 0 for those that serve nobody."""

    name: str
    release: Release
    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def await_ready(self) -> None:
        """Until /readyz is 200."""
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self.process.poll() is None, self.last_words()
            assert time.monotonic() < deadline, self.last_words()
            time.sleep(0.1)

    def end(self) -> float:
        """Ask it to end by SIGTERM and wait; the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(END_SECONDS)
        return time.monotonic() - began

    def last_words(self) -> str:
        return f"{self.name} of release {self.release.name}:\n{self.log.read_text(errors='replace')[-3000:]}"

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@dataclass(slots=True)
class Fleet:
    """Starts processes over one environment; whatever still runs at the end is killed."""

    folder: Path
    environment: dict[str, str]
    running: list[Running] = field(default_factory=list)

    def web(self, release: Release) -> Running:
        """A web server, which may still be starting."""
        port = ports.free_port()
        arguments = ["granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"]
        arguments += ["--workers", "1", "--blocking-threads", "24", "--http", "1", "--workers-kill-timeout", "30"]
        return self._start("web", release, [*arguments, "loa_site.wsgi:application"], port=port)

    def worker(self, release: Release, *, queues: str) -> Running:
        """A worker whose name says its release."""
        name = f"{queues.replace(',', '-')}-{release.name}@fleet"
        arguments = ["celery", "-A", "loa_site.celery", "worker", "--loglevel", "info", "--without-mingle"]
        return self._start("worker", release, [*arguments, "-Q", queues, "-c", "1", "-n", name])

    def beat(self, release: Release) -> Running:
        """The clock of the periodic work."""
        schedule = self.folder / f"beat-{release.name}"
        arguments = ["celery", "-A", "loa_site.celery", "beat", "--loglevel", "info"]
        return self._start("beat", release, [*arguments, "--schedule", str(schedule), "--pidfile", ""])

    def stop(self) -> None:
        """Kill what still runs, with its children."""
        for one in self.running:
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait(10)

    def _start(self, name: str, release: Release, arguments: list[str], *, port: int = 0) -> Running:
        log = self.folder / f"{name}-{release.name}-{len(self.running)}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=release.folder,
                env=self.environment | release.variables(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append(Running(name, release, process, log, port))
        return self.running[-1]
