"""`manage.py ledger_generate`: honest books of any size in an empty local database, for measuring and testing.

The books are what so many calls would have left: streams without gaps, hash chains, balances, entries, credit notes,
and the rows of the apps above. Each app says in `generator/*.sql` what its rows are; all of it is SQL over whole
tables, because a hundred thousand postings a second is more than any loop over journals writes. `ledger_verify` proves
the result like any other ledger. Run as the owner of the tables (LOA_DATABASE_ROLE=owner).
"""

import time
from argparse import ArgumentParser
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg import sql

from billing.management.bulk_loading import without_guards_and_indexes
from billing.management.output import OperatorCommand
from telemetry.configuration import loa

POSTINGS_MIN, POSTINGS_MAX = 1_000, 100_000_000
POSTINGS_A_CALL: Final = 9.9  # measured: two to five journals, and the change that expires a week later
STREAMS, MINTED_MICRO_USD = 4, 2_000_000_000
HISTORY: Final = timedelta(days=90)
USDC_ADDRESS, PAY_TO, RELAYER = "0x036cbd53842c5426634e7929541ec2318f3dcf7e", "0x" + "aa" * 20, "0x" + "bb" * 20
# The big tables, and those whose rows come with them. What an app above does not have is left out.
TABLES: Final = (
    "billing.journal",
    "billing.posting",
    "billing.idempotency_key",
    "billing.account",
    "billing.balance",
    "billing.billing_entry",
    "billing.credit_note",
    "billing.credit_note_movement",
    "accounts_account",
    "accounts_wallet",
    "x402_payment",
    "x402_chaintransaction",
    "x402_settlementattempt",
    "x402_consumedlog",
    "x402_storedanswer",
    "billing_outboxevent",
    "waitlist_entry",
    "waitlist_mail",
)


class Command(OperatorCommand):
    help = "Fill an empty local database with generated books that ledger_verify proves. Never for real data."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The size is the only choice."""
        super().add_arguments(parser)
        people = "about how many; a tenth as many payments, and people on the waitlist"
        parser.add_argument("--postings", type=int, required=True, help=people)

    def run(self, options: dict[str, Any]) -> None:
        """Refuse what is not local and empty, load everything in one transaction, then let the planner look at it."""
        wanted = options["postings"]
        if not POSTINGS_MIN <= wanted <= POSTINGS_MAX:
            raise CommandError(f"--postings is a number from {POSTINGS_MIN:,} to {POSTINGS_MAX:,}.")
        started = time.monotonic()
        with connection.cursor() as cursor:
            require_local(cursor)
            cursor.execute("SET temp_buffers = '256MB'")
            with transaction.atomic():
                tables = require_empty(cursor)
                load(cursor, wanted, tables)
                facts = counts_of(cursor)
            loaded = time.monotonic() - started
            cursor.execute(f"VACUUM (ANALYZE) {', '.join((*tables, 'billing.stream'))}")
        seconds = time.monotonic() - started
        figures = {
            **facts,
            "seconds": round(seconds, 1),
            "seconds_loading": round(loaded, 1),
            "postings_per_second": int(facts["postings"] / loaded),
        }
        lines = [f"{facts['postings']:,} postings and {facts['payments']:,} payments in {seconds:.1f} s."]
        self.answer(figures, lines=lines, as_json=options["as_json"])


def require_local(cursor: CursorWrapper) -> None:
    """Refuse any database but one on this machine in development or tests. Raises CommandError."""
    if loa("ENVIRONMENT") == "production":
        raise CommandError("Generated books are never written in production.")
    cursor.execute("SELECT inet_server_addr()")
    (address,) = cursor.fetchone()
    if address is not None and not ip_address(str(address).partition("/")[0]).is_loopback:
        raise CommandError(f"The database is at {address}; generated books are written on this machine only.")


def require_empty(cursor: CursorWrapper) -> list[str]:
    """The tables that will be filled, locked; refuses when one has a row or is not ours. Raises CommandError."""
    cursor.execute(
        "SELECT name, pg_has_role(current_user, c.relowner, 'MEMBER') FROM unnest(%s::text[]) AS name"
        " JOIN pg_class c ON c.oid = to_regclass(name)",
        [list(TABLES)],
    )
    owned = dict(cursor.fetchall())
    if not owned or not all(owned.values()):
        raise CommandError("The tables belong to another role: run with LOA_DATABASE_ROLE=owner.")
    tables = [name for name in TABLES if name in owned]
    cursor.execute(f"LOCK TABLE {', '.join(tables)}, billing.stream IN ACCESS EXCLUSIVE MODE")
    for name in tables:
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(*name.split("."))))
        if cursor.fetchone()[0]:
            raise CommandError(f"{name} has rows: generated books are written into an empty database only.")
    cursor.execute("SELECT count(*) FROM billing.stream WHERE id > 0 OR sequence > 0")
    if cursor.fetchone()[0]:
        raise CommandError("Streams were opened: generated books are written into an empty database only.")
    return tables


def load(cursor: CursorWrapper, postings: int, tables: list[str]) -> None:
    """Run every app's generator files, the ledger's first."""
    calls = int(postings / POSTINGS_A_CALL)
    network = "eip155:84532"
    cursor.execute(
        "SET LOCAL work_mem = '512MB'; SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL jit = off;"
        " SET LOCAL synchronous_commit = off; SET LOCAL hash_mem_multiplier = 1"
    )
    cursor.execute(
        "CREATE TEMP TABLE generation (calls integer, calls_a_week integer, wallets integer, users integer,"
        " streams integer, minted integer, started_at timestamptz, span interval, network text, asset text,"
        " usdc text, pay_to text, relayer text, waitlist_entries integer)"
    )
    cursor.execute(
        "INSERT INTO generation"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, make_interval(hours => %s), %s, %s, %s, %s, %s, %s)",
        [
            calls,
            calls * 7 // HISTORY.days,
            max(10, calls // 10),
            max(10, calls // 50),
            STREAMS,
            MINTED_MICRO_USD,
            timezone.now() - HISTORY,
            HISTORY.days * 24 - 1,
            network,
            USDC_ADDRESS,
            f"{network}/erc20:{USDC_ADDRESS}",
            PAY_TO,
            RELAYER,
            postings // 10,
        ],
    )
    with without_guards_and_indexes(cursor, tables):
        for path in generator_files():
            cursor.execute(path.read_text(encoding="utf-8"))


def generator_files() -> list[Path]:
    """The SQL files in the order they run in: this app's, then those of the apps above by name."""
    folders = [Path(app.path) / "generator" for app in apps.get_app_configs()]
    own = Path(apps.get_app_config("billing").path) / "generator"
    return [path for folder in (own, *sorted({*folders} - {own})) for path in sorted(folder.glob("*.sql"))]


def counts_of(cursor: CursorWrapper) -> dict[str, int]:
    """How many journals, postings and payments there are now."""
    cursor.execute(
        "SELECT count(*), coalesce(sum(posting_count), 0)::bigint,"
        " (SELECT count(*) FROM billing.billing_entry WHERE funding = 'x402') FROM billing.journal"
    )
    return dict(zip(("journals", "postings", "payments"), cursor.fetchone(), strict=True))
