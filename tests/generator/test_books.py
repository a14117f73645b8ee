"""The generated books are honest: the ledger's own proof finds nothing, and the size is what was asked for."""

import os
import re
import subprocess
import sys

import psycopg
import pytest
from django.db import connection

from billing.models import Journal
from tests.generator.books import ROOT, Server, manage

CASTS_AND_BRACKETS = re.compile(r"::(?:character varying|text)(?:\[\])?|[()]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_proof_finds_nothing_wrong(server: Server, books_database: str) -> None:
    verdict = manage(server, books_database, "ledger_verify")

    assert verdict["ok"] is True
    assert verdict["findings"] == []
    assert verdict["postings"] == 304_699


def test_there_is_a_payment_for_every_ten_postings_and_each_is_in_the_books(books: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, count(*) FROM x402_payment GROUP BY state ORDER BY state")
        states = dict(cursor.fetchall())
        cursor.execute("SELECT count(*) FROM x402_payment p JOIN billing.billing_entry e ON e.payment_id = p.id")
        (booked,) = cursor.fetchone()

    assert states == {"credited": 606, "dead": 303, "served": 29_667, "serving": 30}
    assert booked == 30_303


def test_hashes_are_those_of_the_databases_own_function(books: str) -> None:
    for sequence in (1, 2, 400, 401, 20_000):
        journal = Journal.objects.get(stream=0, sequence=sequence)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sha256(j.previous_hash || convert_to(billing.canonical_journal(j,"
                " billing.canonical_postings(j.id)), 'UTF8')) FROM billing.journal j WHERE j.id = %s",
                [journal.pk],
            )
            assert bytes(cursor.fetchone()[0]) == bytes(journal.hash)


def test_keys_indexes_and_guards_are_put_back_as_they_were(server: Server, books: str) -> None:
    query = (
        "SELECT 'index', indexdef FROM pg_indexes WHERE schemaname IN ('billing', 'public')"
        " UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace IN ('billing'::regnamespace, 'public'::regnamespace)"
        " UNION ALL SELECT 'trigger', tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text FROM pg_trigger"
        " WHERE NOT tgisinternal ORDER BY 1, 2"
    )
    seen = []
    for database in (server.template, books):
        with psycopg.connect(server.url(database, role="loa_admin"), autocommit=True) as connected:
            rows = connected.execute(query).fetchall()
        # The database writes a predicate's casts in another place when it reads its own words back.
        seen.append(sorted((kind, CASTS_AND_BRACKETS.sub("", definition)) for kind, definition in rows))

    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("arguments", "variables", "refusal"),
    [
        (["--postings", "300000"], {}, "empty database only"),
        (["--postings", "10"], {}, "a number from 1,000"),
        (["--postings", "300000"], {"LOA_DATABASE_ROLE": "application"}, "belong to another role"),
    ],
)
def test_it_refuses_anything_but_an_empty_database_of_its_own(
    server: Server, books_database: str, arguments: list[str], variables: dict[str, str], refusal: str
) -> None:
    environment = server.environment(books_database) | {"LOA_DATABASE_ROLE": "owner"} | variables
    done = subprocess.run(
        [sys.executable, "manage.py", "ledger_generate", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert refusal in done.stderr
