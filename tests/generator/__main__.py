"""Measure the ledger at a size: `python -m tests.generator --postings 10000000`; one JSON object with every figure.

Starts a database server of its own over .loa/generator and keeps the books there for the next run; `--forget` removes
them at the end. The figures are taken by a child that is configured like the site.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

from loa_site.local import databases, ports
from loa_site.local.postgres import Postgres, outside_home
from loa_site.local.stack import HOME, FolderLock
from tests.generator.books import ROOT, Server, kept_books

FOLDER = HOME / "generator"
POSTINGS_MIN = 300_000


def main() -> int:
    """Start, generate if needed, measure, stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.generator", description=__doc__)
    parser.add_argument("--postings", type=int, default=10_000_000)
    parser.add_argument(
        "--only", default="", help="some of: balance, pages, customers, sweeps, verify, export, archive"
    )
    parser.add_argument("--forget", action="store_true", help="remove the generated books at the end")
    options = parser.parse_args()
    if options.postings < POSTINGS_MIN:
        parser.error(f"the rows that are looked at are in books of {POSTINGS_MIN:,} postings or more")
    lock = FolderLock(FOLDER)
    if not lock.take():
        parser.error("another measurement is under way")
    postgres = Postgres(FOLDER / "database", ports.free_port())
    variables = {"DJANGO_SETTINGS_MODULE": "loa_site.settings.test", "LOA_TEST_SERVICES": "1"}
    os.environ |= variables
    try:
        postgres.start()
        server = Server(postgres.url("postgres"), databases.ensure_template(postgres, dict(os.environ)))
        name = kept_books(server, options.postings)
        measured = subprocess.run(
            [sys.executable, "-m", "tests.generator.measuring", options.only],
            cwd=ROOT,
            env=server.environment(name),
            check=False,
        )
        with postgres.connect() as admin:
            size = admin.execute("SELECT pg_database_size(%s)", [name]).fetchone()
        print(json.dumps({"database_bytes": size[0] if size else None}))
        return measured.returncode
    finally:
        postgres.stop()
        lock.give_back()
        if options.forget:
            shutil.rmtree(FOLDER, ignore_errors=True)
            shutil.rmtree(outside_home(FOLDER / "database"), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
