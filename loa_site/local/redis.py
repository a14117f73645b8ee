"""The embedded Redis-compatible server: on 127.0.0.1, in memory, because nothing of value lives there."""

import socket
from dataclasses import dataclass
from pathlib import Path

from loa_site.local import binaries, ports, process

START_SECONDS = 10.0


@dataclass(slots=True)
class Redis:
    """A server with a folder for its log and, if asked, an append-only file."""

    folder: Path
    port: int
    is_durable: bool = False
    record: process.Record | None = None

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://{ports.HOST}:{self.port}/0"

    def start(self, *, outlives_starter: bool = False) -> None:
        """Start the server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "redis.log"
        command = process.Command(
            name="redis",
            arguments=[
                str(binaries.redis_server()),
                *("--port", str(self.port), "--bind", ports.HOST, "--dir", str(self.folder), "--save", ""),
                *("--appendonly", "yes" if self.is_durable else "no", "--maxmemory-policy", "noeviction"),
            ],
            log=log,
            outlives_starter=outlives_starter,
        )
        child, self.record = process.start(command)
        process.wait_until(self._answers, process=child, log=log, seconds=START_SECONDS)

    def stop(self) -> None:
        """Stop the server."""
        if self.record:
            process.stop(self.record)
            self.record = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((ports.HOST, self.port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
