"""The embedded Postgres: a data folder, a server on 127.0.0.1, and the two roles every database here has.

`loa_owner` owns databases and migrates, `loa_app` is what the application connects as, and the superuser `loa_admin`
is for creating databases on this machine only. Started by root, the server runs as an unprivileged account, because
Postgres refuses to run as root; where that account may not enter our folder, programs and data are kept outside of it.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from loa_site.local import binaries, ports, process
from loa_site.local.errors import LocalStackError

OWNER, APPLICATION, ADMIN = "loa_owner", "loa_app", "loa_admin"
START_SECONDS = 30.0
OUTSIDE = os.environ.get("LOCAL_DATA_HOME", "/var/lib" if os.geteuid() == 0 else tempfile.gettempdir())
SERVE_OPTIONS = ("max_connections=200", "unix_socket_directories=", "log_min_messages=warning")
# A test's data is worthless after a power failure, so it need not wait for the disk.
THROWAWAY_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum_naptime=5min")


@dataclass(slots=True)
class Postgres:
    """A server over one data folder. `passwords` maps role to password; without them the server trusts 127.0.0.1."""

    folder: Path
    port: int
    passwords: dict[str, str] = field(default_factory=dict)
    record: process.Record | None = None

    def url(self, database: str, *, role: str = ADMIN) -> str:
        """A connection URL for one of the three roles."""
        password = f":{self.passwords[role]}" if role in self.passwords else ""
        return f"postgresql://{role}{password}@{ports.HOST}:{self.port}/{database}"

    def start(self, *, outlives_starter: bool = False) -> None:
        """Initialise the folder if needed, start the server, make sure the roles exist."""
        account = unprivileged_account()
        home = reachable_home(self.folder, account=account)
        programs = reachable_programs(home, account=account)
        data = self._initialised(home, programs=programs, account=account)
        options = SERVE_OPTIONS if self.passwords else SERVE_OPTIONS + THROWAWAY_OPTIONS
        log = home / "postgres.log"
        command = process.Command(
            name="postgres",
            arguments=[
                str(programs / "postgres"),
                *("-D", str(data), "-h", ports.HOST, "-p", str(self.port)),
                *(part for option in options for part in ("-c", option)),
            ],
            log=log,
            stop_signal=signal.SIGINT,
            account=account,
            outlives_starter=outlives_starter,
        )
        child, self.record = process.start(command)
        process.wait_until(self._answers, process=child, log=log, seconds=START_SECONDS)
        self._create_roles()

    def stop(self) -> None:
        """Stop the server, rolling back what is open."""
        if self.record:
            process.stop(self.record)
            self.record = None

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A superuser connection in autocommit mode."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def create_database(self, name: str, *, template: str = "template0") -> None:
        """Create a database that belongs to the owner role, as a copy of the template."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
        with self.connect() as connection:
            connection.execute(statement.format(*map(sql.Identifier, (name, template, OWNER))))

    def drop_database(self, name: str) -> None:
        """Drop a database and disconnect whoever uses it; nothing happens when it is not there."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def databases(self) -> set[str]:
        """The names of all databases."""
        with self.connect() as connection:
            return {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}

    def _answers(self) -> bool:
        if not ports.is_open(self.port):
            return False
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_roles(self) -> None:
        with self.connect() as connection:
            present = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
            for role in {OWNER, APPLICATION} - present:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self.passwords.get(role))
                    )
                )

    def _initialised(self, home: Path, *, programs: Path, account: process.Account | None) -> Path:
        """The data folder; a new one is complete before it gets its name, so that half of one is never used."""
        data, unfinished = home / "postgres", home / "postgres.unfinished"
        if data.exists():
            require_same_version(data, programs=programs)
            return data
        shutil.rmtree(unfinished, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", suffix=".password") as secret:
            secret.write(self.passwords.get(ADMIN, "unused") + "\n")
            secret.flush()
            if account:
                os.chown(secret.name, account.uid, account.gid)
            initdb = run_as(
                account,
                [
                    str(programs / "initdb"),
                    *("-D", str(unfinished), "-U", ADMIN, "-E", "UTF8", "--locale=C.UTF-8", "-N"),
                    *("-A", "scram-sha-256" if self.passwords else "trust", f"--pwfile={secret.name}"),
                ],
            )
        if initdb.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            full = "no space left" in initdb.stdout.lower()
            raise LocalStackError(
                f"The database folder could not be made:\n{initdb.stdout.strip()}",
                "The disk is full: free some space and start again." if full else f"Check the folder {home}.",
            )
        unfinished.rename(data)
        return data


def require_same_version(data: Path, *, programs: Path) -> None:
    """Raise LocalStackError when the folder is incomplete or was made by another major version."""
    marker = data / "PG_VERSION"
    if not marker.exists() or not (data / "global" / "pg_control").exists():
        raise LocalStackError(
            f"The database folder {data} is incomplete.", "`make reset` starts over with an empty one."
        )
    made_by = marker.read_text().strip()
    output = run_as(None, [str(programs / "postgres"), "--version"]).stdout
    installed = output.split()[-1].split(".")[0]
    if made_by != installed:
        raise LocalStackError(
            f"The database folder was made by Postgres {made_by}, installed is {installed}.",
            "Set POSTGRES_BIN to the folder of the older programs, or start over with `make reset`.",
        )


def unprivileged_account() -> process.Account | None:
    """The account to run the server as: none in particular, unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return process.Account(entry.pw_uid, entry.pw_gid)
    return process.Account(65534, 65534)


def reachable_home(folder: Path, *, account: process.Account | None) -> Path:
    """A folder the account owns: the asked one, or one outside when the account may not enter the asked one."""
    home = folder
    if account and not everyone_may_enter(folder.parent):
        home = outside_home(folder)
    home.mkdir(parents=True, exist_ok=True)
    if account:
        os.chown(home, account.uid, account.gid)
    return home


def outside_home(folder: Path) -> Path:
    """Where programs and data go when our own folder is closed to the unprivileged account."""
    return Path(OUTSIDE) / f"loa-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def reachable_programs(home: Path, *, account: process.Account | None) -> Path:
    """The programs' folder, copied beside the data when the account may not enter the installed one.

    A wheel keeps its shared libraries in a folder beside the package, found by relative path: both are copied.
    """
    programs = binaries.postgres_folder()
    if account is None or everyone_may_enter(programs):
        return programs
    package = programs.parent.parent
    copy = home / "programs"
    if not copy.exists():
        unfinished = home / "programs.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(programs.parent, unfinished / package.name / programs.parent.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        unfinished.rename(copy)
    return copy / package.name / programs.parent.name / programs.name


def everyone_may_enter(folder: Path) -> bool:
    """Whether an account without rights of its own may enter the folder; what does not exist yet is decided above."""
    path = folder.resolve()
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents) if part.exists())


def run_as(account: process.Account | None, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as the account if one is given; both outputs together."""
    return subprocess.run(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
