"""Databases for tests: a migrated template, kept as long as no migration changes, and a fresh copy for each run.

Copying a template takes a tenth of a second where migrating takes many, and runs that have a database of their own
do not disturb each other.
"""

import hashlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loa_site.local import binaries
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import APPLICATION, OWNER, Postgres

TEMPLATE_PREFIX, RUN_PREFIX = "loa_template_", "loa_run_"
KEPT_TEMPLATES = 6
# Everything that decides what a migrated database looks like.
DECIDING_FILES = (
    "*/migrations/**/*.py",
    "*/sql/**/*.sql",
    "*/models/**/*.py",
    "*/models.py",
    "billing/domain/*.py",
    "loa_site/grants.py",
    "loa_site/settings/base.py",
    "requirements.lock",
)
MIGRATION_LOCK = 8402


def template_name(root: Path = binaries.ROOT) -> str:
    """The template's name: it changes with any file that decides the schema, its grants or its first rows."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in DECIDING_FILES for path in root.glob(pattern)}):
        if "node_modules" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return TEMPLATE_PREFIX + digest.hexdigest()[:16]


def urls_of(postgres: Postgres, database: str) -> dict[str, str]:
    """The two variables that lead the application to a database."""
    return {
        "DATABASE_URL": postgres.url(database, role=APPLICATION),
        "DATABASE_DIRECT_URL": postgres.url(database, role=OWNER),
    }


def migrate(environment: dict[str, str]) -> None:
    """Migrate the database of the environment as its owner; raises LocalStackError with what Django printed."""
    result = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input", "--skip-checks"],
        cwd=binaries.ROOT,
        env=environment | {"LOA_DATABASE_ROLE": "owner"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise LocalStackError(f"The migrations failed:\n{result.stdout[-6000:].strip()}")


def ensure_template(postgres: Postgres, environment: dict[str, str]) -> str:
    """The name of a migrated template, made now if the schema changed; others wait for who makes it."""
    name = template_name()
    with postgres.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        present = postgres.databases()
        if name in present:
            return name
        unfinished = f"{name}_unfinished"
        postgres.drop_database(unfinished)
        postgres.create_database(unfinished)
        migrate(environment | urls_of(postgres, unfinished))
        connection.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')
        _drop_old_templates(postgres, newest=name)
    return name


@contextmanager
def copy_of(postgres: Postgres, template: str) -> Iterator[str]:
    """A fresh copy of the template, dropped at the end."""
    name = RUN_PREFIX + secrets.token_hex(6)
    postgres.create_database(name, template=template)
    try:
        yield name
    finally:
        postgres.drop_database(name)


def _drop_old_templates(postgres: Postgres, *, newest: str) -> None:
    """Keep a few templates, by age, so that switching branches stays fast and the folder stays small."""
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s AND datname <> %s ORDER BY oid DESC",
            [TEMPLATE_PREFIX.replace("_", r"\_") + "%", newest],
        ).fetchall()
    for (name,) in rows[KEPT_TEMPLATES - 1 :]:
        postgres.drop_database(name)
