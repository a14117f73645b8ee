"""Postgres killed under load (ledger faults 15, 16): every acknowledged journal is there, the ledger is whole."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from billing.services.verification import verify_ledger
from loa_site.local import databases, ports
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import Postgres
from tests.factories import ledger
from tests.factories.own_ledger import own_ledger_of
from tests.faults.conftest import Appender

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ROLES = ("loa_admin", "loa_owner", "loa_app")


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server with durable settings, which it gets by having passwords."""
    folder: Path = tmp_path_factory.mktemp("killed")
    folder.chmod(0o755)
    server = Postgres(folder / "database", ports.free_port(), passwords=dict.fromkeys(ROLES, "only-for-tests"))
    server.start()
    yield server
    server.stop()


def kill_postmaster(server: Postgres) -> None:
    os.kill(server.record.pid, signal.SIGKILL)
    time.sleep(0.3)
    server.record = None
    deadline = time.monotonic() + 60
    while True:
        try:
            server.start()
            return
        except LocalStackError:  # the old backends still hold the shared memory
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def kill_backend(server: Postgres) -> None:
    with server.connect() as connection:
        [(backend,)] = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%append_batch%%' AND pid <> pg_backend_pid() LIMIT 1"
        ).fetchall()
    os.kill(backend, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_postmaster, kill_backend], ids=["postmaster", "backend"])
def test_a_server_killed_under_load_keeps_every_acknowledged_journal(own_postgres: Postgres, kill) -> None:
    variables = {**os.environ, "DJANGO_SETTINGS_MODULE": "loa_site.settings.test"}
    template = databases.ensure_template(own_postgres, variables)
    name = f"killed_{kill.__name__}"
    own_postgres.create_database(name, template=template)
    urls = databases.urls_of(own_postgres, name)
    appenders = [Appender(variables | urls | {"REDIS_URL": ""}, lease_seconds=2) for _ in range(2)]
    acknowledged: list[str] = []
    try:
        for appender in appenders:
            appender.tell("stream")
        for appender in appenders:
            acknowledged.append(appender.hear()["acknowledged"])
        time.sleep(0.5)
        kill(own_postgres)
        time.sleep(2)
    finally:
        for appender in appenders:
            os.kill(appender.pid, signal.SIGKILL)
        for appender in appenders:
            acknowledged += [line["acknowledged"] for line in appender.hear_rest() if "acknowledged" in line]
            appender.end()
    await_recovery(own_postgres)

    with own_ledger_of(urls):
        found = ledger.one(
            "SELECT count(*), count(DISTINCT key) FROM billing.journal WHERE key = ANY (%s)", acknowledged
        )
        assert len(acknowledged) > 20
        assert found == (len(acknowledged), len(acknowledged))
        assert verify_ledger().findings == ()


def await_recovery(server: Postgres) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.connect().close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
