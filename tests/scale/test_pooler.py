"""Through PgBouncer in transaction mode the ledger appends, the site sweeps, and no statement is left prepared."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from loa_site.local import binaries
from tests.scale.pooled import counted
from tests.scale.pooler import HOW_TO_GET_IT, Pooler, pooler, program

pytestmark = pytest.mark.slow

SCRIPT = """
import django; django.setup()
from django.db import connection, connections
from billing.selectors.balances import balance_of
from billing.domain import accounts
from tests.factories import ledger
account = ledger.prepaid_account(900)
for _ in range(20):
    connections.close_all()
    assert balance_of(accounts.available(account), accounts.PREPAID) == 900
from billing.tasks import expire, deliver_webhooks
from x402.tasks import forget, sweep_payments
expire(); deliver_webhooks(); forget(); sweep_payments()
with connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM pg_prepared_statements")
    print(cursor.fetchone()[0])
"""


@pytest.fixture
def running(tmp_path: Path, own_database: dict[str, str]) -> Iterator[tuple[Pooler, dict[str, str]]]:
    """A pooler of two server connections in front of a database of its own, and the variables that lead through it."""
    if program() is None:
        pytest.skip(f"not run: no pgbouncer on this machine ({HOW_TO_GET_IT})")
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    direct = urlsplit(own_database["DATABASE_URL"])
    with pooler(tmp_path / "pooler", server_port=direct.port or 5432, size=2) as started:
        url = started.url(direct.path.strip("/"), role=direct.username or "")
        yield started, own_database | {"DATABASE_URL": url, "DATABASE_THROUGH_POOLER": "true"}


def test_appends_reads_and_sweeps_hold_with_two_server_connections(running: tuple[Pooler, dict[str, str]]) -> None:
    started, variables = running
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=binaries.ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "0"
    counters = started.counters()
    assert counters["transactions"] > 20
    assert counters["servers"] <= 4


def test_this_pooler_really_changes_server_connections_between_transactions(
    running: tuple[Pooler, dict[str, str]],
) -> None:
    _, variables = running
    url = variables["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as other:
        with one.transaction():
            one.execute("SELECT 1")
            first = other.execute("SELECT pg_backend_pid()").fetchone()
        with other.transaction():
            held = other.execute("SELECT pg_backend_pid()").fetchone()
            seen = one.execute("SELECT pg_backend_pid()").fetchone()

    assert first is not None
    assert held != seen


def test_the_figures_of_a_run_are_read_from_its_report() -> None:
    text = '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="40" time="1.0">'

    assert [counted(text, what) for what in ("errors", "failures", "skipped", "tests")] == [1, 2, 3, 40]
    assert counted("", "tests") == 0
