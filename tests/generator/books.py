"""Generated books as a database that is made once and kept: its name changes with whatever decides its rows.

Nothing writes into a kept one; a test that wants to copies it.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "loa_books_"
DECIDING = ("*/generator/*.sql", "billing/management/commands/ledger_generate.py", "billing/management/bulk_loading.py")
GENERATION_LOCK = 8402_300


@dataclass(frozen=True)
class Server:
    """A database server of this machine: the superuser's URL and the migrated template on it."""

    admin_url: str
    template: str

    def url(self, database: str, *, role: str) -> str:
        """The URL of a database for one of the local roles, which need no password in tests."""
        server = self.admin_url.rpartition("/")[0].partition("@")[2]
        return f"postgresql://{role}@{server}/{database}"

    def environment(self, database: str) -> dict[str, str]:
        """The variables with which a process uses that database."""
        urls = {
            "DATABASE_URL": self.url(database, role="loa_app"),
            "DATABASE_DIRECT_URL": self.url(database, role="loa_owner"),
        }
        return os.environ | urls


def digest(template: str) -> str:
    """What the generator's files and the migrated template come to."""
    content = hashlib.sha256(template.encode())
    for path in sorted({path for pattern in DECIDING for path in ROOT.glob(pattern)}):
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def kept_books(server: Server, postings: int) -> str:
    """The name of a database with so many postings, made now if the generator or the schema changed."""
    size = f"{PREFIX}{postings}_"
    name = size + digest(server.template)
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", [GENERATION_LOCK])
        kept = {row[0] for row in admin.execute("SELECT datname FROM pg_database").fetchall()}
        if name in kept:
            return name
        for old in [one for one in kept if one.startswith(size)]:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))
        unfinished = f"{name}_unfinished"
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER loa_owner").format(
                sql.Identifier(unfinished), sql.Identifier(server.template)
            )
        )
        report = manage(server, unfinished, "ledger_generate", "--postings", str(postings), role="owner")
        print(json.dumps({"generated": report}), file=sys.stderr)
        admin.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(name))
        )
    return name


def manage(server: Server, database: str, command: str, *arguments: str, role: str = "application") -> dict[str, Any]:
    """Run a command of the site on a database and read its JSON; raises with what it printed when it fails."""
    done = subprocess.run(
        [sys.executable, "manage.py", command, *arguments, "--json"],
        cwd=ROOT,
        env=server.environment(database) | {"LOA_DATABASE_ROLE": role},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
