"""Indexes that staff pages find rare rows by, which would otherwise be searched for in the whole table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0002_payment_rules"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="chaintransaction",
            index=models.Index(
                condition=models.Q(("state__in", ["replaced", "dropped"])),
                fields=["state", "id"],
                name="x402_transaction_not_mined",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("state__in", ["credited", "refunded", "dead"])),
                fields=["state", "created_at", "id"],
                name="x402_payment_unserved_ends",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("method", "credit_notes")),
                fields=["created_at", "id"],
                name="x402_payment_by_credit",
            ),
        ),
    ]
