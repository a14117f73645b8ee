"""A ledger that only one test uses, so that it may be tampered with, and a superuser who does so."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.db import connections

from billing.locks import process_writer
from billing.services import append_journal

GUARDED_TABLES = (
    "account",
    "anchor",
    "balance",
    "billing_entry",
    "credit_note",
    "credit_note_movement",
    "idempotency_key",
    "journal",
    "posting",
    "stream",
)


@dataclass(frozen=True)
class OwnLedger:
    """The name of the database that the default connection uses while the fixture is open."""

    name: str
    urls: dict[str, str]

    def superuser(self) -> psycopg.Connection:
        server = settings.TEST_ADMIN_DATABASE_URL.rpartition("/")[0]
        return psycopg.connect(f"{server}/{self.name}", autocommit=True)

    def tamper(self, statement: str, *parameters: object) -> int:
        """Change history as someone who owns the server: triggers off, statement, triggers on again; rows changed."""
        with self.superuser() as connection:
            for table in GUARDED_TABLES:
                connection.execute(f"ALTER TABLE billing.{table} DISABLE TRIGGER USER")
            try:
                return connection.execute(statement, parameters).rowcount
            finally:
                for table in GUARDED_TABLES:
                    triggers = connection.execute(
                        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
                        [f"billing.{table}"],
                    ).fetchall()
                    for (trigger,) in triggers:
                        connection.execute(f"ALTER TABLE billing.{table} ENABLE ALWAYS TRIGGER {trigger}")

    def environment(self) -> dict[str, str]:
        """The variables with which another process uses this ledger."""
        return {**os.environ, **self.urls, "LOA_REDIS_KEY_PREFIX": f"{self.name}:"}


@contextmanager
def own_ledger_of(urls: dict[str, str]) -> Iterator[OwnLedger]:
    """Let the default connection, the append connection and the process's writer use another database."""
    url = urlsplit(urls["DATABASE_URL"])
    other = {
        "NAME": url.path.lstrip("/"),
        "HOST": url.hostname,
        "PORT": str(url.port),
        "USER": url.username,
        "PASSWORD": url.password or "",
    }
    databases = [settings.DATABASES["default"], connections["default"].settings_dict]
    before = {name: databases[0][name] for name in other}
    keys_before = settings.LOA
    forget_writers()
    # Redis is shared by the run: a dead writer of another ledger must not keep this one from its first stream.
    settings.LOA = settings.LOA | {"REDIS_KEY_PREFIX": f"{other['NAME']}:"}
    for database in databases:
        database.update(other)
    try:
        yield OwnLedger(other["NAME"], urls)
    finally:
        forget_writers()
        settings.LOA = keys_before
        for database in databases:
            database.update(before)


def forget_writers() -> None:
    """Close what this process appends with; the next append connects and leases anew."""
    for ledger in append_journal._ledgers.values():
        ledger.connection.close()
    append_journal._ledgers.clear()
    for writer in process_writer._writers.values():
        writer.release()
    process_writer._writers.clear()
    connections.close_all()
