"""Payments carried to the chain for other sites, each once (attack 17)."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0006_key_payments"),
    ]

    operations = [
        migrations.CreateModel(
            name="FacilitatedPayment",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("caller", models.CharField(max_length=80)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("accepted", "Accepted"),
                            ("settling", "Settling"),
                            ("settlement_unknown", "Settlement Unknown"),
                            ("settled", "Settled"),
                            ("dead", "Dead"),
                        ],
                        default="accepted",
                        max_length=20,
                    ),
                ),
                ("lease_until", models.DateTimeField(null=True)),
                ("protocol_version", models.SmallIntegerField()),
                ("scheme", models.CharField(max_length=16)),
                ("method", models.CharField(max_length=16)),
                ("network", models.CharField(max_length=64)),
                ("verifying_contract", models.CharField(max_length=42)),
                ("payer", models.CharField(max_length=42)),
                ("nonce", models.CharField(max_length=66)),
                ("asset", models.CharField(max_length=42)),
                ("pay_to", models.CharField(max_length=42)),
                ("amount_micro_usdc", models.BigIntegerField()),
                ("due_micro_usdc", models.BigIntegerField()),
                ("valid_after", models.BigIntegerField()),
                ("valid_before", models.BigIntegerField()),
                ("signature", models.BinaryField()),
                ("facilitator", models.CharField(blank=True, default="", max_length=42)),
                ("transaction_hash", models.CharField(blank=True, default="", max_length=66)),
                ("block_hash", models.CharField(blank=True, default="", max_length=66)),
                ("block_number", models.BigIntegerField(null=True)),
                ("log_index", models.IntegerField(null=True)),
                ("failure_code", models.CharField(blank=True, default="", max_length=64)),
                ("attempts", models.IntegerField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "transaction",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="x402.chaintransaction",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["accepted", "settling", "settlement_unknown"])),
                        fields=["created_at"],
                        name="x402_facilitated_open",
                    ),
                    models.Index(fields=["caller", "-created_at"], name="x402_facilitated_by_caller"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("network", "verifying_contract", "payer", "nonce"), name="x402_facilitated_replay_key"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("due_micro_usdc__gte", 0), ("due_micro_usdc__lte", models.F("amount_micro_usdc"))
                        ),
                        name="x402_facilitated_due_within_signed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["accepted", "settling", "settlement_unknown", "settled", "dead"])
                        ),
                        name="x402_facilitated_state_known",
                    ),
                ],
            },
        ),
    ]
