"""PgBouncer in transaction mode in front of a Postgres of this machine, from the machine's own package."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from loa_site.local import ports, process
from loa_site.local.postgres import ADMIN, APPLICATION, OWNER, unprivileged_account

PATIENCE_SECONDS = 20.0
SERVER_CONNECTIONS = 16
HOW_TO_GET_IT = "apt-get install pgbouncer, or PGBOUNCER_BIN=/path/to/pgbouncer"
SETTINGS = """\
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
admin_users = {admin}
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_reset_query =
logfile =
ignore_startup_parameters = extra_float_digits
"""


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running pooler. Whatever connects gets a server connection for the length of one transaction."""

    port: int
    record: process.Record

    def url(self, database: str, *, role: str) -> str:
        """The URL of a database behind the pooler."""
        return f"postgresql://{role}@{ports.HOST}:{self.port}/{database}"

    def counters(self) -> dict[str, int]:
        """Transactions it passed on, and connections of clients and to the server, summed over all databases."""
        with psycopg.connect(self.url("pgbouncer", role=ADMIN), autocommit=True) as console:
            stats = console.execute("SHOW STATS_TOTALS")
            names = [column.name for column in stats.description or ()]
            transactions = sum(row[names.index("xact_count")] for row in stats.fetchall())
            pools = console.execute("SHOW POOLS")
            names = [column.name for column in pools.description or ()]
            rows = pools.fetchall()
        clients = sum(row[names.index("cl_active")] + row[names.index("cl_waiting")] for row in rows)
        servers = sum(row[names.index(name)] for row in rows for name in ("sv_active", "sv_idle", "sv_used"))
        return {"transactions": int(transactions), "clients": int(clients), "servers": int(servers)}


def program() -> Path | None:
    """The machine's pgbouncer, or None."""
    for candidate in (os.environ.get("PGBOUNCER_BIN"), shutil.which("pgbouncer"), "/usr/sbin/pgbouncer"):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    return None


@contextmanager
def pooler(folder: Path, *, server_port: int, size: int = SERVER_CONNECTIONS, password: str = "") -> Iterator[Pooler]:
    """A pooler in front of the server at that port; stopped at the end. Raises FileNotFoundError without a program.

    Its clients need no password; `password` is the one it uses itself, the same for each role.
    """
    found = program()
    if found is None:
        raise FileNotFoundError(HOW_TO_GET_IT)
    folder.mkdir(parents=True, exist_ok=True)
    port, account = ports.free_port(), unprivileged_account()
    (folder / "users.txt").write_text("".join(f'"{role}" "{password}"\n' for role in (APPLICATION, OWNER, ADMIN)))
    (folder / "pgbouncer.ini").write_text(
        SETTINGS.format(
            host=ports.HOST,
            server_port=server_port,
            port=port,
            folder=folder,
            admin=ADMIN,
            size=size,
        )
    )
    if account:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.uid, account.gid)
    log = folder / "pgbouncer.log"
    command = process.Command(
        name="pgbouncer", arguments=[str(found), str(folder / "pgbouncer.ini")], log=log, account=account
    )
    child, record = process.start(command)
    try:
        process.wait_until(lambda: ports.is_open(port), process=child, log=log, seconds=PATIENCE_SECONDS)
        yield Pooler(port, record)
    finally:
        process.stop(record)
