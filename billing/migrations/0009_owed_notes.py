"""Indexes that sweeps find notes by which are to leave on the chain, among all that were ever issued.

Without them, each run of the sweep of owed money reads every note: once for those whose block may be final by now, once
for those that are final and large enough to be paid out. They are built beside the writers.
"""

from django.db import migrations

OWED = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS credit_note_owed ON billing.credit_note (denomination, remaining)
WHERE kind = 'owed' AND remaining > 0 AND refundable_at IS NOT NULL
"""
NOT_FINAL = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS credit_note_not_final ON billing.credit_note (number)
WHERE remaining > 0 AND refundable_at IS NULL
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0008_staff_permissions")]
    operations = [
        migrations.RunSQL(OWED, reverse_sql="DROP INDEX IF EXISTS billing.credit_note_owed"),
        migrations.RunSQL(NOT_FINAL, reverse_sql="DROP INDEX IF EXISTS billing.credit_note_not_final"),
    ]
