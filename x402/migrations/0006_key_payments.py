"""Payments by API key: equal ones take turns, and what they did not cost goes back to the key's day."""

from django.db import migrations, models

from x402 import sql


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0005_work_before_money"),
        ("accounts", "0004_api_keys"),
    ]

    operations = [
        migrations.AlterField(
            model_name="payment",
            name="method",
            field=models.CharField(
                choices=[
                    ("eip3009", "EIP-3009 authorization"),
                    ("permit2", "Permit2 witness transfer"),
                    ("credit_notes", "Credit notes"),
                    ("api_key", "Prepaid balance, by API key"),
                ],
                default="eip3009",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["account_id", "-created_at", "-id"], name="x402_payment_of_account"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("idempotency_key_hash", ""),
                    ("method", "api_key"),
                    ("state__in", ["verified", "settled", "serving"]),
                ),
                fields=("payer", "request_hash"),
                name="x402_payment_one_at_a_time",
            ),
        ),
        migrations.RunSQL(sql.read("key_use.sql"), sql.read("key_use.reverse.sql")),
    ]
