"""The pasts of this database that people accepted (rule R10), and the functions that enter and end recovery."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_models")]
    operations = [
        migrations.RunSQL(
            (SQL / "14_recovery.sql").read_text(encoding="utf-8"),
            reverse_sql=(SQL / "14_recovery_reverse.sql").read_text(encoding="utf-8"),
        )
    ]
