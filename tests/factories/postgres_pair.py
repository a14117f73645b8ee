"""A Postgres server and its replica, for tests of failover: streaming, cut off, promoted, and put in its place."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from loa_site.local import databases, ports, postgres
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import Postgres

PASSWORD = "only-for-tests"
ROLES = ("loa_admin", "loa_owner", "loa_app")
REPLICA_NAME = "second"


@dataclass(slots=True)
class PostgresPair:
    """`primary` serves on its port; `replica` follows it on another, until it takes over both role and port."""

    primary: Postgres
    replica: Postgres
    database: str

    @classmethod
    def start(
        cls, folder: Path, *, is_synchronous: bool, migrate: Callable[[Postgres, str], None] | None = None
    ) -> "PostgresPair":
        """A primary with durable settings and a migrated database, and a replica that streams from it.

        `migrate` makes the database, where there is a quicker way than running all migrations.
        """
        folder.chmod(0o755)
        primary = Postgres(folder / "primary", ports.free_port(), passwords=dict.fromkeys(ROLES, PASSWORD))
        primary.start()
        (migrate or migrate_anew)(primary, "paired")
        pair = cls(primary, _copy(primary, folder / "replica"), "paired")
        pair.replica.start()
        if is_synchronous:
            with primary.connect() as connection:
                connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{REPLICA_NAME}'")
                connection.execute("SELECT pg_reload_conf()")
        pair.await_streaming()
        return pair

    @property
    def urls(self) -> dict[str, str]:
        """How the application reaches whichever server has the primary's port."""
        return databases.urls_of(self.primary, self.database)

    def await_streaming(self) -> None:
        """Until the replica has replayed everything the primary has written."""
        deadline = time.monotonic() + 20
        query = "SELECT bool_or(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication"
        while time.monotonic() < deadline:
            with self.primary.connect() as connection:
                if connection.execute(query).fetchone() == (True,):
                    return
            time.sleep(0.1)
        raise AssertionError("the replica does not follow")

    def cut_off_replica(self) -> None:
        """From here on the replica hears nothing; the primary, where it need not wait, goes on."""
        with self.replica.connect() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with self.primary.connect() as connection:
                if connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone() == (0,):
                    return
            time.sleep(0.1)
        raise AssertionError("the replica still streams")

    def fail_over(self) -> None:
        """Kill the primary with all its backends, promote the replica, and let it answer on the primary's port."""
        os.killpg(self.primary.record.pid, signal.SIGKILL)
        self.primary.record = None
        with self.replica.connect() as connection:
            connection.execute("SELECT pg_promote(true, 20)")
        self.replica.stop()
        self.replica.port = self.primary.port
        start_when_free(self.replica)

    def follow_anew(self, folder: Path) -> None:
        """After a failover: a new replica of the server that serves now, for which its commits wait from then on."""
        _remove(self.primary)
        self.primary, self.replica = self.replica, _copy(self.replica, folder)
        self.replica.start()
        with self.primary.connect() as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{REPLICA_NAME}'")
            connection.execute("SELECT pg_reload_conf()")
        self.await_streaming()

    def restart_primary(self, *, crashes: bool) -> None:
        """Let the primary end in order, or without any warning, and start it again."""
        if crashes and self.primary.record is not None:
            os.killpg(self.primary.record.pid, signal.SIGKILL)
        self.primary.stop()
        start_when_free(self.primary)

    def stop(self) -> None:
        """End both."""
        for server in (self.replica, self.primary):
            server.stop()
            _remove(server)


def migrate_anew(server: Postgres, name: str) -> None:
    """A database with all migrations run."""
    variables = {**os.environ, "DJANGO_SETTINGS_MODULE": "loa_site.settings.test"}
    server.create_database(name, template=databases.ensure_template(server, variables))


class Replica(Postgres):
    """A copy of a server's folder; its roles came with it, and a standby could not make them."""

    def _create_roles(self) -> None:
        """Nothing to make."""


def _remove(server: Postgres) -> None:
    """Forget the data of a server that has ended."""
    home = postgres.reachable_home(server.folder, account=postgres.unprivileged_account())
    shutil.rmtree(home, ignore_errors=True)


def _copy(primary: Postgres, folder: Path) -> Replica:
    """A base backup of the primary that knows whom to follow."""
    account = postgres.unprivileged_account()
    home = postgres.reachable_home(folder, account=account)
    programs = postgres.reachable_programs(home, account=account)
    conninfo = f"{primary.url('postgres')}?application_name={REPLICA_NAME}"
    target = str(home / "postgres")
    arguments = [*("-d", conninfo), *("-D", target), "-R", *("-X", "stream"), *("-c", "fast")]
    made = postgres.run_as(account, [str(programs / "pg_basebackup"), *arguments])
    if made.returncode != 0:
        shutil.rmtree(home / "postgres", ignore_errors=True)
        raise LocalStackError(f"The copy failed:\n{made.stdout}")
    return Replica(folder, ports.free_port(), passwords=dict(primary.passwords))


def start_when_free(server: Postgres) -> None:
    """Start a server on the port of one that was killed."""
    deadline = time.monotonic() + 20
    while True:
        try:
            server.start()
            return
        except LocalStackError:  # the killed backends still hold the port or the shared memory
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def timeline_of(url: str) -> str:
    """The timeline of the server behind a URL, as eight hex digits."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        return str(connection.execute("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").fetchone()[0])
