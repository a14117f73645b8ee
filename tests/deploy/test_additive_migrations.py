"""That a deployment can roll over every migration since the baseline: additive only, or a contraction that says so.

`baseline.json` holds the migrations that no running release is older than. A migration that takes something away goes
into CONTRACTS once no running release reads what it takes.
"""

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader

from tests.deploy.destructive import complaints_about

BASELINE = Path(__file__).parent / "baseline.json"
# Migration: the release since which nobody reads or writes what it takes away.
CONTRACTS: dict[str, str] = {}


def own_migrations() -> dict[str, migrations.Migration]:
    """Every migration of this project by app and name; read from the files, no database is asked."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    labels = {name.rpartition(".")[2] for name in [*settings.OUR_APPS, "loa_site"]}
    return {f"{app}.{name}": one for (app, name), one in loader.disk_migrations.items() if app in labels}


def test_migrations_since_the_baseline_only_add() -> None:
    known = set(json.loads(BASELINE.read_text()))
    later = {name: one for name, one in own_migrations().items() if name not in known and name not in CONTRACTS}

    found = {name: complaints for name, one in later.items() if (complaints := complaints_about(one))}

    assert found == {}, "additive only, see docs/how-to/deploy.md"


def test_every_migration_of_the_baseline_is_still_there() -> None:
    assert set(json.loads(BASELINE.read_text())) - set(own_migrations()) == set()


TEXT = models.CharField(max_length=8)
DESTRUCTIVE = {
    "a removed column": migrations.RemoveField("payment", "signature"),
    "a renamed column": migrations.RenameField("payment", "payer", "buyer"),
    "a removed table": migrations.DeleteModel("Payment"),
    "a changed column": migrations.AlterField("payment", "payer", TEXT),
    "a column that must be given": migrations.AddField("payment", "note", TEXT),
    "a column with a default in code only": migrations.AddField("payment", "note", models.IntegerField(default=0)),
    "a new rule": migrations.AddConstraint("payment", models.UniqueConstraint(fields=["payer"], name="one")),
    "an index that stops writers": migrations.AddIndex("payment", models.Index(fields=["payer"], name="payers")),
    "SQL that drops": migrations.RunSQL("CREATE TABLE a (b int);\nDROP  TABLE x402_payment;"),
    "SQL that changes a type": migrations.RunSQL(["ALTER TABLE x402_payment ALTER COLUMN payer TYPE text"]),
    "SQL that forbids NULL": migrations.RunSQL([("ALTER TABLE x402_payment ALTER note SET NOT NULL", None)]),
}
ADDITIVE = {
    "a nullable column": migrations.AddField("payment", "note", models.CharField(max_length=8, null=True)),
    "a column with a default in the database": migrations.AddField("payment", "n", models.IntegerField(db_default=0)),
    "a new table": migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))]),
    "SQL that adds": migrations.RunSQL("CREATE TABLE a (b int); -- DROP TABLE a", "DROP TABLE a"),
    "nothing for the database": migrations.SeparateDatabaseAndState(
        state_operations=[migrations.RemoveField("payment", "signature")]
    ),
}


def migration_of(*operations: migrations.operations.base.Operation) -> migrations.Migration:
    made = migrations.Migration("0099_any", "x402")
    made.operations = list(operations)
    return made


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_what_old_code_cannot_live_with_is_named(name: str) -> None:
    assert len(complaints_about(migration_of(DESTRUCTIVE[name]))) == 1


@pytest.mark.parametrize("name", ADDITIVE)
def test_what_only_adds_is_fine(name: str) -> None:
    assert complaints_about(migration_of(ADDITIVE[name])) == []


def test_what_a_migration_makes_itself_it_may_change() -> None:
    made = migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))])

    assert (
        complaints_about(migration_of(made, migrations.AddConstraint("note", DESTRUCTIVE["a new rule"].constraint)))
        == []
    )
