"""Permit2 beside EIP-3009, settling after the work or later, and what one payer may have outstanding (R2, R12, R27)."""

from typing import ClassVar

from django.db import migrations, models

from x402 import sql

REGISTER = """
SELECT billing.register_transition_table('x402_payment', 'x402_payment', 'state', 'attempt', ARRAY[
  'transaction_hash', 'block_hash', 'block_number', 'log_index', 'charged_micro_usdc', 'overrun_micro_usdc',
  'credit_held', 'failure_code', 'failure_status', 'work', 'actual_micro_usdc'])
"""
REGISTER_BEFORE = """
SELECT billing.register_transition_table('x402_payment', 'x402_payment', 'state', 'attempt', ARRAY[
  'transaction_hash', 'block_hash', 'block_number', 'log_index', 'charged_micro_usdc', 'overrun_micro_usdc',
  'credit_held', 'failure_code', 'failure_status'])
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("x402", "0004_remote_attempt"),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Exposure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("network", models.CharField(max_length=64)),
                ("asset", models.CharField(max_length=42)),
                ("payer", models.CharField(blank=True, max_length=42)),
                ("outstanding_micro_usdc", models.BigIntegerField(db_default=0, default=0)),
            ],
        ),
        migrations.AddField(
            model_name="payment",
            name="actual_micro_usdc",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="payment",
            name="exposure_micro_usdc",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="payment",
            name="facilitator",
            field=models.CharField(blank=True, db_default="", default="", max_length=42),
        ),
        migrations.AddField(
            model_name="payment",
            name="settle_order",
            field=models.CharField(
                choices=[("before", "Before"), ("after", "After"), ("deferred", "Deferred")],
                db_default="before",
                default="before",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="spendable_block",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="payment",
            name="spendable_micro_usdc",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="payment",
            name="work",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "Not begun"),
                    ("running", "Running"),
                    ("done", "Done"),
                    ("answered", "Answered"),
                    ("failed", "Failed"),
                ],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="method",
            field=models.CharField(
                choices=[
                    ("eip3009", "EIP-3009 authorization"),
                    ("permit2", "Permit2 witness transfer"),
                    ("credit_notes", "Credit notes"),
                ],
                default="eip3009",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("state__in", ["verified", "settling", "settlement_unknown"])),
                fields=["payer"],
                name="x402_payment_outstanding",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("block_number__isnull", False)),
                fields=["payer", "-block_number"],
                name="x402_payment_by_payer_block",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("exposure_micro_usdc__gt", 0)),
                fields=["network", "block_number"],
                name="x402_payment_exposed",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("actual_micro_usdc__isnull", True),
                    models.Q(("actual_micro_usdc__gte", 0), ("actual_micro_usdc__lte", models.F("amount_micro_usdc"))),
                    _connector="OR",
                ),
                name="x402_payment_actual_within_signed",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("exposure_micro_usdc__gte", 0), ("exposure_micro_usdc__lte", models.F("amount_micro_usdc"))
                ),
                name="x402_payment_exposure_within_signed",
            ),
        ),
        migrations.AddConstraint(
            model_name="exposure",
            constraint=models.UniqueConstraint(
                fields=("network", "asset", "payer"), name="x402_exposure_one_row_per_payer"
            ),
        ),
        migrations.AddConstraint(
            model_name="exposure",
            constraint=models.CheckConstraint(
                condition=models.Q(("outstanding_micro_usdc__gte", 0)), name="x402_exposure_not_negative"
            ),
        ),
        migrations.RunSQL(sql.read("work_before_money.sql"), sql.read("work_before_money.reverse.sql")),
        migrations.RunSQL(REGISTER, REGISTER_BEFORE),
    ]
