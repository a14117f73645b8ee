"""The migrated database of this run, copied to another server: a second, where migrating takes many.

The copy is of an own database, never of the template itself: nobody can copy a template while somebody reads it.
"""

import secrets
import subprocess

import psycopg
from django.conf import settings

from loa_site.local import binaries
from loa_site.local.postgres import Postgres


def create_migrated(server: Postgres, name: str) -> None:
    """Make a migrated database on a server of its own, whose past is accepted as the first of that server."""
    admin_url, source = settings.TEST_ADMIN_DATABASE_URL, f"loa_run_{secrets.token_hex(6)}"
    server.create_database(name)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{source}" TEMPLATE "{settings.TEST_TEMPLATE_DATABASE}" OWNER loa_owner')
        try:
            _copy(admin_url.rpartition("/")[0] + f"/{source}", server.url(name))
        finally:
            admin.execute(f'DROP DATABASE "{source}" WITH (FORCE)')
    with psycopg.connect(server.url(name), autocommit=True) as admin:
        admin.execute("UPDATE billing.recovery SET server = (SELECT system_identifier::text FROM pg_control_system())")


def _copy(source: str, target: str) -> None:
    programs = binaries.postgres_folder()
    dumped = subprocess.run([programs / "pg_dump", "-d", source], capture_output=True, check=True)
    load = [programs / "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", target]
    loaded = subprocess.run(load, input=dumped.stdout, capture_output=True, check=False)
    assert loaded.returncode == 0, loaded.stderr[-2000:]
