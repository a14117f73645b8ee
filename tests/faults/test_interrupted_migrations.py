"""A migration killed half-way (faults row 17): nothing of it stays, running it again completes, the ledger works."""

import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from django.conf import settings

from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import own_ledger_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RELATIONS = (
    "SELECT array_agg(relkind::text || relname ORDER BY relname) FROM pg_class"
    " WHERE relnamespace = to_regnamespace('billing')"
)
WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'INSERT INTO \"django_migrations\"%'"
)


def migration(urls: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "migrate", "--no-input", "--skip-checks", *arguments],
        cwd=settings.BASE_DIR,
        env=os.environ | urls | {"LOA_DATABASE_ROLE": "owner"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def await_one(connection: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + 30
    while connection.execute(query).fetchone() != (1,):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def test_a_migration_killed_before_its_commit_leaves_nothing_and_runs_again(own_database: dict[str, str]) -> None:
    with psycopg.connect(own_database["DATABASE_DIRECT_URL"], autocommit=True) as owner:
        complete = owner.execute(RELATIONS).fetchone()
        assert migration(own_database, "billing", "zero").wait(60) == 0
        with owner.transaction():
            # The migration has made everything and now wants to write down that it did.
            owner.execute("LOCK TABLE django_migrations IN SHARE MODE")
            dying = migration(own_database, "billing")
            with psycopg.connect(own_database["DATABASE_DIRECT_URL"], autocommit=True) as observer:
                await_one(observer, WAITS)
                dying.send_signal(signal.SIGKILL)
                dying.wait(10)
        await_one(
            owner,
            "SELECT 1 + count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO \"django_mig%'"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
        )

        assert owner.execute(RELATIONS).fetchone() == (None,)
        # Whatever stands on the ledger went with it, and comes back with it.
        assert migration(own_database).wait(60) == 0
        assert owner.execute(RELATIONS).fetchone() == complete

    with own_ledger_of(own_database):
        [result] = append([ledger.suspense_journal()])
        assert result.status == "ok"
        assert verify_ledger().is_clean
