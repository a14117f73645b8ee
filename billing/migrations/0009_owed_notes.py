"""Indexes that sweeps find notes by which are to leave on the chain, among all that were ever issued.

Without them, each run of the sweep of owed money reads every note: once for those whose block may be final by now, once
for those that are large enough to be paid out.
"""

from django.db import migrations

FORWARD = """
CREATE INDEX credit_note_owed ON billing.credit_note (denomination, remaining) WHERE kind = 'owed' AND remaining > 0;
CREATE INDEX credit_note_not_final ON billing.credit_note (number) WHERE remaining > 0 AND refundable_at IS NULL;
"""
BACKWARD = "DROP INDEX IF EXISTS billing.credit_note_not_final, billing.credit_note_owed;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_staff_permissions")]
    operations = [migrations.RunSQL(FORWARD, reverse_sql=BACKWARD)]
