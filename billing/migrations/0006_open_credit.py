"""Holds of credit that are still open, for the sweep that ends them; nothing else ever enters this index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_inline_lane")]
    operations = [
        migrations.RunSQL(
            "CREATE INDEX billing_entry_open_credit ON billing.billing_entry (id)"
            " WHERE funding = 'credit' AND state = 'RESERVE_HELD'",
            reverse_sql="DROP INDEX IF EXISTS billing.billing_entry_open_credit",
        )
    ]
