"""Refunds and what they add up to on a day; the rules of their life, and their place among rows the ledger may move."""

from django.db import migrations, models

from billing.services.register_table import register_transition_table
from x402 import sql


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0009_reconciliation"),
        ("billing", "0001_ledger"),
    ]

    operations = [
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("started", "Started"),
                            ("sent", "Sent"),
                            ("paid", "Paid"),
                            ("failed", "Failed"),
                            ("refused", "Refused"),
                        ],
                        default="requested",
                        max_length=12,
                    ),
                ),
                ("attempt", models.IntegerField(default=1)),
                ("cause", models.CharField(help_text="wallet, owed or suspense: who asked for it", max_length=12)),
                ("wallet", models.CharField(max_length=42)),
                ("account_id", models.CharField(max_length=40)),
                ("network", models.CharField(max_length=64)),
                ("asset", models.CharField(max_length=42)),
                ("amount_micro_usdc", models.BigIntegerField()),
                ("note_id", models.CharField(blank=True, default="", max_length=40)),
                ("idempotency_key", models.CharField(blank=True, default="", max_length=64)),
                ("request_hash", models.CharField(blank=True, default="", max_length=64)),
                ("approval_id", models.CharField(blank=True, default="", max_length=40)),
                ("paid_from", models.CharField(blank=True, default="", max_length=42)),
                ("nonce", models.CharField(blank=True, default="", max_length=66)),
                ("valid_before", models.BigIntegerField(default=0)),
                ("first_block", models.BigIntegerField(default=0)),
                ("signature", models.BinaryField(default=b"")),
                ("carried_by", models.CharField(blank=True, default="", max_length=40)),
                ("transaction_hash", models.CharField(blank=True, default="", max_length=66)),
                ("log_index", models.IntegerField(null=True)),
                ("failure_code", models.CharField(blank=True, default="", max_length=64)),
                ("lease_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["wallet", "-id"], name="x402_refund_of_wallet"),
                    models.Index(
                        condition=models.Q(("state__in", ["requested", "started", "sent"])),
                        fields=["updated_at"],
                        name="x402_refund_open",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("idempotency_key", ""), _negated=True),
                        fields=("wallet", "idempotency_key"),
                        name="x402_refund_once_per_key",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(
                            models.Q(("note_id", ""), _negated=True), ("state__in", ["requested", "started", "sent"])
                        ),
                        fields=("note_id",),
                        name="x402_refund_one_per_note",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount_micro_usdc__gt", 0)), name="x402_refund_amount_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["requested", "started", "sent", "paid", "failed", "refused"])
                        ),
                        name="x402_refund_state_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RefundDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("network", models.CharField(max_length=64)),
                ("asset", models.CharField(max_length=42)),
                ("day", models.DateField()),
                ("amount_micro_usdc", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("network", "asset", "day"), name="x402_refund_day_once"),
                    models.CheckConstraint(
                        condition=models.Q(("amount_micro_usdc__gte", 0)), name="x402_refund_day_not_negative"
                    ),
                ],
            },
        ),
        migrations.RunSQL(sql.read("refund_state.sql"), sql.read("refund_state.reverse.sql")),
        register_transition_table(
            name="x402_refund",
            table="x402_refund",
            state_column="state",
            attempt_column="attempt",
            columns=("transaction_hash", "log_index", "failure_code"),
        ),
    ]
