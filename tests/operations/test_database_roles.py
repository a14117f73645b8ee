"""The roles of docs/how-to/database-roles.md, made by infra/docker/roles.sql: no login may rewrite the ledger."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from django.conf import LazySettings, settings
from psycopg.errors import InsufficientPrivilege

from billing.services import recovery
from loa_site.local import binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROLES_FILE = binaries.ROOT / "infra" / "docker" / "roles.sql"
PAGE = binaries.ROOT / "docs" / "how-to" / "database-roles.md"
ROLE = re.compile(r"\bloa_(owner|migrator|app)\b")


@dataclass(frozen=True, slots=True)
class Made:
    """A database with roles of its own, migrated as documented, and where it is."""

    name: str
    server: str

    def role(self, kind: str) -> str:
        return f"{self.name}_{kind}"

    def url(self, kind: str) -> str:
        return f"postgresql://{self.role(kind)}@{self.server}/{self.name}"

    def connect(self, kind: str) -> psycopg.Connection:
        return psycopg.connect(self.url(kind), autocommit=True, connect_timeout=10)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.url("app"),
            "DATABASE_DIRECT_URL": self.url("migrator"),
            "LOA_APPLICATION_ROLE": self.role("app"),
            "LOA_OWNER_ROLE": self.role("owner"),
        }

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=binaries.ROOT,
            env=os.environ | self.variables | variables,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def migrate(self) -> str:
        done = self.manage("migrate", "--no-input", "--skip-checks", LOA_DATABASE_ROLE="owner")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


def statements() -> str:
    return "\n".join(line for line in ROLES_FILE.read_text().splitlines() if not line.startswith("--"))


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    admin = settings.TEST_ADMIN_DATABASE_URL
    made = Made(f"loa_roles_{secrets.token_hex(4)}", admin.rpartition("/")[0].partition("@")[2])
    with psycopg.connect(admin, autocommit=True) as superuser:
        superuser.execute(f'CREATE DATABASE "{made.name}"')
        named = ROLE.sub(lambda found: f'"{made.role(found[1])}"', statements())
        superuser.execute(re.sub(r"DATABASE loa\b", f'DATABASE "{made.name}"', named))
        try:
            made.migrate()
            yield made
        finally:
            superuser.execute(f'DROP DATABASE "{made.name}" WITH (FORCE)')
            for kind in ("app", "migrator", "owner"):
                superuser.execute(f'DROP OWNED BY "{made.role(kind)}"')
                superuser.execute(f'DROP ROLE "{made.role(kind)}"')


def test_the_page_shows_the_very_statements_that_are_run() -> None:
    assert statements().strip() in PAGE.read_text()


def test_everything_belongs_to_an_owner_that_may_not_log_in(made: Made) -> None:
    with made.connect("app") as connection:
        owners = connection.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE nspname IN ('billing', 'public') UNION SELECT pg_get_userbyid(proowner) FROM pg_proc p "
            "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE nspname IN ('billing', 'public')"
        ).fetchall()

    assert owners == [(made.role("owner"),)]
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        made.connect("owner")


def test_the_migrating_role_may_nothing_until_it_takes_the_owner_on(made: Made) -> None:
    with made.connect("migrator") as connection:
        for statement in ("SELECT 1 FROM billing.journal", "CREATE TABLE public.mine ()", "DELETE FROM auth_user"):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)
        connection.execute(f'SET ROLE "{made.role("owner")}"')
        assert connection.execute("SELECT count(*) >= 0 FROM billing.journal").fetchone() == (True,)


def test_the_applications_role_reads_and_can_become_nobody_else(made: Made) -> None:
    with made.connect("app") as connection:
        assert connection.execute("SELECT count(*) >= 0 FROM billing.journal").fetchone() == (True,)
        for statement in (
            "DELETE FROM billing.journal",
            "ALTER TABLE billing.journal DISABLE TRIGGER ALL",
            "CREATE TABLE public.mine ()",
            "CREATE SCHEMA mine",
            f'SET ROLE "{made.role("owner")}"',
            f'SET ROLE "{made.role("migrator")}"',
        ):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)


def test_migrating_again_has_nothing_to_do(made: Made) -> None:
    assert "No migrations to apply." in made.migrate()


def test_the_doctor_sees_who_may_log_in(made: Made) -> None:
    done = made.manage("doctor", "--json")

    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["database roles"]["status"] == "ok", findings["database roles"]
    asked_as_owner = made.manage("doctor", "--json", LOA_DATABASE_ROLE="owner")
    findings = {finding["name"]: finding for finding in json.loads(asked_as_owner.stdout)["findings"]}
    assert findings["database roles"]["status"] == "failure"


def test_who_ends_a_recovery_becomes_the_owner_for_it(made: Made, settings: LazySettings) -> None:
    settings.DATABASE_DIRECT_URL, settings.LOA_OWNER_ROLE = made.url("migrator"), made.role("owner")

    with recovery._connection_of_owner() as owner:
        assert owner.execute("SELECT current_user, session_user").fetchone() == (
            made.role("owner"),
            made.role("migrator"),
        )
