"""The three servers as one thing that starts and stops together, with the variables that lead the site to them."""

import fcntl
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from loa_site.local import binaries, ports, process
from loa_site.local.chain import Chain
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import ADMIN, APPLICATION, OWNER, Postgres
from loa_site.local.redis import Redis

HOME = Path(os.environ.get("LOCAL_HOME") or binaries.ROOT / ".loa").resolve()
SERVICES = ("postgres", "redis", "chain")


class FolderLock:
    """That only one stack uses a folder at a time; held by the kernel for the process, gone when it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Take the lock; False when another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def give_back(self) -> None:
        """Give the lock back, if it was taken."""
        if self._file:
            self._file.close()
            self._file = None


@dataclass(slots=True)
class LocalStack:
    """Postgres, Redis and the chain over one folder of data; use it as a context.

    `is_kept` is for data that must survive a restart: passwords, disk writes that wait, a chain that is written down.
    Services named in `external` are somebody else's and not started.
    Only one stack at a time may use a folder; the lock is the kernel's and ends with the process that holds it.
    """

    folder: Path
    is_kept: bool = False
    block_seconds: int | None = None
    external: frozenset[str] = frozenset()
    postgres: Postgres = field(init=False)
    redis: Redis = field(init=False)
    chain: Chain = field(init=False)
    _lock: FolderLock = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder)
        passwords = self._passwords() if self.is_kept else {}
        self.postgres = Postgres(self.folder / "database", ports.free_port(), passwords)
        self.redis = Redis(self.folder / "redis", ports.free_port(), is_durable=self.is_kept)
        self.chain = Chain(
            self.folder / "chain", ports.free_port(), block_seconds=self.block_seconds, is_kept=self.is_kept
        )

    def start(self, *, outlives_starter: bool = False) -> Self:
        """Start all three; when one fails, those already started are stopped again."""
        self._take_lock()
        try:
            for name in SERVICES:
                if name in self.external:
                    continue
                server: Postgres | Redis | Chain = getattr(self, name)
                server.start(outlives_starter=outlives_starter)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all three and give the folder back."""
        for server in (self.chain, self.redis, self.postgres):
            server.stop()
        self._lock.give_back()

    def records(self) -> list[process.Record]:
        """The running servers' processes."""
        return [server.record for server in (self.postgres, self.redis, self.chain) if server.record]

    def write_record(self) -> Path:
        """Write down what runs and where, for other processes that want to use or stop it."""
        path = self.folder / "services.json"
        document = {
            "postgres_port": self.postgres.port,
            "database_admin_url": self.postgres.url("postgres"),
            "redis_url": self.redis.url,
            "rpc_url": self.chain.url,
            "processes": [asdict(record) for record in self.records()],
        }
        write_private(path, json.dumps(document, indent=2))
        return path

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _passwords(self) -> dict[str, str]:
        path = self.folder / "passwords.json"
        if not path.exists():
            made = {role: secrets.token_hex(16) for role in (ADMIN, OWNER, APPLICATION)}
            write_private(path, json.dumps(made, indent=2))
        passwords: dict[str, str] = json.loads(path.read_text())
        return passwords

    def _take_lock(self) -> None:
        if not self._lock.take():
            raise LocalStackError(f"A stack is already using {self.folder}.", "`make stop` ends it.")


def running_record(folder: Path) -> dict[str, object] | None:
    """What `write_record` wrote, if all of its processes still run."""
    path = folder / "services.json"
    if not path.exists():
        return None
    document: dict[str, object] = json.loads(path.read_text())
    processes = recorded_processes(path)
    return document if processes and all(record.is_running() for record in processes) else None


def recorded_processes(path: Path) -> list[process.Record]:
    """The processes a record names, last started first."""
    entries = json.loads(path.read_text())["processes"]
    return [process.Record(**entry) for entry in reversed(entries)]


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, in one step, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    unfinished.rename(path)
