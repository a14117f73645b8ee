"""Streams of the in-transaction lane are opened ahead, so that no caller's transaction keeps the writers waiting."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_reading_indexes")]
    operations = [
        migrations.RunSQL(
            (SQL / "15_inline_lane.sql").read_text(encoding="utf-8"),
            reverse_sql=(SQL / "15_inline_lane_reverse.sql").read_text(encoding="utf-8"),
        )
    ]
