"""The real web server as a process of its own, on the services of this test run, so that it can be killed."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 150  # of a machine that does much else; a start takes five


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class LiveSite:
    """One web process with the variables given on top of this run's. Use as a context manager."""

    variables: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None

    def __enter__(self) -> "LiveSite":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--no-ws"]
        command += ["--port", str(self.port), "--workers", "1", "--blocking-threads", "24", "--http", "1"]
        with Path(os.devnull if self.log is None else self.log).open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "loa_site.wsgi:application"],
                cwd=ROOT,
                env=os.environ | self.variables,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if self.ask("GET", "/livez", timeout_seconds=2).status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the site did not start")

    def kill(self) -> None:
        """Kill the server and its worker without any clean-up."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def ask(
        self,
        method: str,
        path: str,
        document: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 70,
    ) -> Answer:
        """One request. Raises OSError when the server is gone or goes away."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        try:
            body = None if document is None else json.dumps(document).encode()
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()
