"""Comparisons of chain and books, kept for staff, and which transactions' gas is booked."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("x402", "0008_credit_purchases"),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("applied", models.BooleanField()),
                ("figures", models.JSONField(default=dict)),
                ("differences", models.JSONField(default=list)),
                ("difference_count", models.IntegerField(default=0)),
                ("to_blocks", models.JSONField(default=dict)),
                ("seconds", models.FloatField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "indexes": [models.Index(fields=["-created_at"], name="x402_reconciliation_newest")],
            },
        ),
        migrations.AddField(
            model_name="chaintransaction",
            name="gas_booked",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name="chaintransaction",
            index=models.Index(
                condition=models.Q(("gas_booked", False), ("state", "mined")),
                fields=["id"],
                name="x402_transaction_gas_unbooked",
            ),
        ),
    ]
