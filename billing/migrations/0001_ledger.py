"""The ledger in the database: tables, guards, functions, rows of the chart. All of it is in billing/sql."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"
FILES = (
    "01_chart.sql",
    "02_journal.sql",
    "03_lifecycle.sql",
    "04_queues_and_anchors.sql",
    "05_guards.sql",
    "06_streams.sql",
    "09_effects.sql",
    "10_notes.sql",
    "11_permission.sql",
    "08_append_parts.sql",
    "07_append.sql",
    "12_chart_rows.sql",
    "13_roles.sql",
)


def read(name: str) -> str:
    """The text of one file of billing/sql."""
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        # The first operation's reverse takes the whole schema away, so that the others have nothing left to undo.
        migrations.RunSQL(read(FILES[0]), reverse_sql=read("00_reverse.sql")),
        *[migrations.RunSQL(read(name), reverse_sql=migrations.RunSQL.noop) for name in FILES[1:]],
    ]
