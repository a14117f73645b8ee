"""The proof knows every guard of the ledger, and every way around one that the catalogue shows."""

from collections.abc import Iterator

import psycopg
import pytest

from billing.services.verification_guards import GUARDS, check_guards
from tests.factories.own_ledger import OwnLedger

IN_THE_CATALOGUE = (
    "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE c.relnamespace = 'billing'::regnamespace AND NOT t.tgisinternal"
)


@pytest.fixture
def superuser(own_ledger: OwnLedger) -> Iterator[psycopg.Connection]:
    with own_ledger.superuser() as connection:
        yield connection


def found_by(superuser: psycopg.Connection, *changes: str) -> tuple[str, str] | None:
    """What the check says after these changes, which are taken back."""
    with superuser.transaction(force_rollback=True):
        for change in changes:
            superuser.execute(change)
        finding = check_guards(superuser.cursor()).finding
    return (finding.where, finding.detail) if finding else None


def test_the_list_is_what_the_migrations_make(superuser: psycopg.Connection) -> None:
    assert set(superuser.execute(IN_THE_CATALOGUE).fetchall()) == set(GUARDS)
    assert found_by(superuser) is None


def test_each_guard_is_missed_and_each_is_named_when_a_session_could_switch_it_off(
    superuser: psycopg.Connection,
) -> None:
    for table, trigger in GUARDS:
        where = f"{trigger} on billing.{table}"
        assert found_by(superuser, f"DROP TRIGGER {trigger} ON billing.{table}") == (where, "the trigger is missing")
        for state in ("DISABLE", "ENABLE", "ENABLE REPLICA"):
            change = f"ALTER TABLE billing.{table} {state} TRIGGER {trigger}"
            assert found_by(superuser, change) == (where, "the trigger is not ENABLE ALWAYS")


def test_a_guard_that_calls_something_harmless_is_named(superuser: psycopg.Connection) -> None:
    found = found_by(
        superuser,
        "CREATE FUNCTION billing.harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP TRIGGER no_delete ON billing.posting",
        "CREATE TRIGGER no_delete BEFORE DELETE ON billing.posting FOR EACH STATEMENT"
        " EXECUTE FUNCTION billing.harmless()",
        "ALTER TABLE billing.posting ENABLE ALWAYS TRIGGER no_delete",
    )

    assert found == ("no_delete on billing.posting", "the trigger calls harmless instead of billing.refuse_change")


def test_a_trigger_nobody_knows_must_fire_always_too(superuser: psycopg.Connection) -> None:
    found = found_by(
        superuser,
        "CREATE TRIGGER new_guard BEFORE DELETE ON billing.transition_table FOR EACH STATEMENT"
        " EXECUTE FUNCTION billing.refuse_change()",
    )

    assert found == ("new_guard on billing.transition_table", "the trigger is not ENABLE ALWAYS")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            "CREATE TABLE public.more_postings () INHERITS (billing.posting)",
            ("billing.posting", "rows of its child more_postings pass no guard"),
        ),
        (
            "CREATE RULE quietly AS ON DELETE TO billing.journal DO INSTEAD NOTHING",
            ("billing.journal", "its rule quietly rewrites what is written"),
        ),
        (
            "ALTER TABLE billing.posting ENABLE ROW LEVEL SECURITY",
            ("billing.posting", "row security hides rows of it"),
        ),
    ],
    ids=["child table", "rule", "row security"],
)
def test_a_way_around_the_guards_is_named(superuser: psycopg.Connection, change: str, finding: tuple[str, str]) -> None:
    assert found_by(superuser, change) == finding
