"""A fresh copy of the migrated template, for tests that change the schema or break things."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings


@contextmanager
def own_database_of_a_test() -> Iterator[dict[str, str]]:
    """The two variables that lead to the copy; it is gone when the block ends."""
    admin, template = settings.TEST_ADMIN_DATABASE_URL, settings.TEST_TEMPLATE_DATABASE
    name = f"loa_run_{secrets.token_hex(6)}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER loa_owner')
        server = admin.rpartition("/")[0].partition("@")[2]
        try:
            yield {
                "DATABASE_URL": f"postgresql://loa_app@{server}/{name}",
                "DATABASE_DIRECT_URL": f"postgresql://loa_owner@{server}/{name}",
            }
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
