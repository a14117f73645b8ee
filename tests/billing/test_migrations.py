"""The ledger's schema can be taken away and made again, with and without an application role."""

import os
import subprocess
import sys

import psycopg
import pytest
from django.conf import settings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("django_db_setup")]


def _migrate(urls: dict[str, str], *arguments: str, **variables: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input", "--skip-checks", *arguments],
        cwd=settings.BASE_DIR,
        env=os.environ | urls | {"LOA_DATABASE_ROLE": "owner"} | variables,
        check=True,
        capture_output=True,
        timeout=60,
    )


def _made(owner: psycopg.Connection) -> dict[str, list[str]]:
    """What the ledger's schema holds, by kind."""
    queries = {
        "relations": "SELECT relkind::text || ' ' || relname FROM pg_class WHERE relnamespace = %s",
        "functions": "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = %s",
        "triggers": "SELECT tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = %s)",
    }
    (schema,) = owner.execute("SELECT to_regnamespace('billing')::oid").fetchone()
    return {kind: sorted(name for (name,) in owner.execute(query, [schema])) for kind, query in queries.items()}


def test_the_ledger_goes_and_comes_back(own_database):
    _migrate(own_database, "billing")
    with psycopg.connect(own_database["DATABASE_DIRECT_URL"], autocommit=True) as owner:
        before = _made(owner)
        assert all(before.values())
        _migrate(own_database, "billing", "zero")
        assert not any(_made(owner).values())

        _migrate(own_database, "billing", LOA_APPLICATION_ROLE="nobody_of_that_name")

        assert _made(owner) == before
        assert owner.execute("SELECT has_schema_privilege('loa_app', 'billing', 'USAGE')").fetchone() == (False,)
        _migrate(own_database, "billing")
        assert owner.execute("SELECT has_schema_privilege('loa_app', 'billing', 'USAGE')").fetchone() == (True,)
