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


def test_the_ledger_goes_and_comes_back(own_database):
    counts = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'billing'"
    with psycopg.connect(own_database["DATABASE_DIRECT_URL"], autocommit=True) as owner:
        before = owner.execute(counts).fetchone()
        _migrate(own_database, "billing", "zero")
        assert owner.execute(counts).fetchone() == (0,)

        _migrate(own_database, "billing", LOA_APPLICATION_ROLE="nobody_of_that_name")

        assert owner.execute(counts).fetchone() == before
        assert owner.execute("SELECT has_schema_privilege('loa_app', 'billing', 'USAGE')").fetchone() == (False,)
        _migrate(own_database, "billing")
        assert owner.execute("SELECT has_schema_privilege('loa_app', 'billing', 'USAGE')").fetchone() == (True,)
