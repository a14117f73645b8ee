"""What the application's role may do with tables: everything, except with those the ledger protects.

The owner migrates, the application reads and writes rows. Tables named in `billing.models.PROTECTED_TABLES`
get their narrower grants from the ledger's own migrations and are left alone here.
"""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from psycopg import sql


def grant_after_migrate(*, using: str, **_signal: Any) -> None:
    """Grant every unprotected table and sequence of the schema `public` to the application's role.

    Does nothing when that role does not exist, or is itself the owner who migrates.
    """
    role = settings.LOA_APPLICATION_ROLE
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND rolname <> current_user", [role])
        if cursor.fetchone() is None:
            return
        for table in _open_tables(cursor):
            statement = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}")
            cursor.execute(statement.format(sql.Identifier("public", table), sql.Identifier(role)))
        cursor.execute(
            sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role))
        )


def protected_tables() -> frozenset[str]:
    """The tables whose grants the ledger decides itself."""
    if not apps.is_installed("billing"):
        return frozenset()
    from billing import models

    return frozenset(models.PROTECTED_TABLES)


def _open_tables(cursor: Any) -> list[str]:
    """Tables of the schema `public` that belong to the migrating role and that nobody protects."""
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user")
    return sorted({name for (name,) in cursor.fetchall()} - protected_tables())
