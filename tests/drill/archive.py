"""A Postgres server that archives its write-ahead log, a base backup of it, and the same server put back to a time.

What an operator does by hand in `docs/how-to/backup-and-restore.md`: `pg_basebackup`, an archive of WAL files, then
`recovery.signal` with `restore_command` and `recovery_target_time`.
"""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from loa_site.local import databases, ports, postgres
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import Postgres
from tests.factories.migrated_copy import create_migrated
from tests.factories.postgres_pair import PASSWORD, ROLES, Replica, start_when_free

WAIT_SECONDS = 60


@dataclass(slots=True)
class ArchivedPostgres:
    """`server` answers on its port and archives; `restored` takes port and place after `restore`."""

    server: Postgres
    archive: Path
    backup: Path
    database: str = "archived"
    restored: Postgres | None = None

    @classmethod
    def start(cls, folder: Path) -> "ArchivedPostgres":
        """A server with durable settings and a migrated database, whose every WAL file is copied to an archive."""
        folder.chmod(0o755)
        server = Postgres(folder / "server", ports.free_port(), passwords=dict.fromkeys(ROLES, PASSWORD))
        server.start()
        home = _home(server)
        archive = home / "archive"
        archive.mkdir(exist_ok=True)
        _give(archive)
        with server.connect() as admin:
            admin.execute("ALTER SYSTEM SET archive_mode = on")
            admin.execute(f'ALTER SYSTEM SET archive_command = \'test ! -f "{archive}/%f" && cp "%p" "{archive}/%f"\'')
        server.stop()
        server.start()
        create_migrated(server, "archived")
        return cls(server, archive, home / "backup")

    @property
    def urls(self) -> dict[str, str]:
        """How the application reaches whichever server has the port."""
        return databases.urls_of(self.server, self.database)

    def take_base_backup(self) -> None:
        """A copy of the running server; the log it needs comes from the archive."""
        account = postgres.unprivileged_account()
        programs = postgres.reachable_programs(_home(self.server), account=account)
        arguments = ["-d", self.server.url("postgres"), "-D", str(self.backup), "-X", "none", "-c", "fast"]
        made = postgres.run_as(account, [str(programs / "pg_basebackup"), *arguments])
        if made.returncode != 0:
            raise LocalStackError(f"The base backup failed:\n{made.stdout}")

    def now(self) -> datetime:
        """The server's clock, which says what a point in time is."""
        with self.server.connect() as admin:
            [moment] = admin.execute("SELECT clock_timestamp()").fetchone()
        return moment

    def await_archive(self) -> None:
        """Until everything written so far is in the archive."""
        with self.server.connect() as admin:
            [wanted] = admin.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        deadline = time.monotonic() + WAIT_SECONDS
        while not (self.archive / wanted).exists():
            assert time.monotonic() < deadline, f"{wanted} is not in the archive"
            time.sleep(0.05)

    def burn_down(self) -> None:
        """Kill the server with all its backends: only backup and archive are left."""
        os.killpg(self.server.record.pid, signal.SIGKILL)
        self.server.record = None

    def restore(self, moment: datetime) -> None:
        """Put the base backup back, replay the archive up to this moment, and answer at the old address."""
        folder = self.server.folder.with_name("restored")
        home = postgres.reachable_home(folder, account=postgres.unprivileged_account())
        data = home / "postgres"
        shutil.copytree(self.backup, data, symlinks=True)
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(
                f'archive_mode = off\nrestore_command = \'cp "{self.archive}/%f" "%p"\'\n'
                f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = 'promote'\n"
            )
        (data / "recovery.signal").touch()
        for path in (data, *data.rglob("*")):
            _give(path)
        data.chmod(0o700)
        self.restored = Replica(folder, self.server.port, passwords=dict(self.server.passwords))
        start_when_free(self.restored)
        deadline = time.monotonic() + WAIT_SECONDS
        while self._is_replaying():
            assert time.monotonic() < deadline, "the archive was not replayed in time"
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill whichever server runs, for its data is thrown away, and remove it."""
        for server in filter(None, (self.restored, self.server)):
            if server.record is not None:
                os.killpg(server.record.pid, signal.SIGKILL)
                server.stop()
            shutil.rmtree(_home(server), ignore_errors=True)

    def _is_replaying(self) -> bool:
        with self.restored.connect() as admin:
            return admin.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def _home(server: Postgres) -> Path:
    return postgres.reachable_home(server.folder, account=postgres.unprivileged_account())


def _give(path: Path) -> None:
    """Let the account that the server runs as own what we made."""
    account = postgres.unprivileged_account()
    if account:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
