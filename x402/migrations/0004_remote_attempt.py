"""What was handed to a remote facilitator, as rows (rule R17)."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0003_reading_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="RemoteAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("facilitator", models.CharField(max_length=200)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("sent", "Sent"),
                            ("nothing_sent", "Nothing Sent"),
                            ("claimed", "Claimed"),
                            ("refused", "Refused"),
                            ("unknown", "Unknown"),
                            ("settled", "Settled"),
                        ],
                        default="sent",
                        max_length=16,
                    ),
                ),
                ("claimed_transaction", models.CharField(blank=True, default="", max_length=66)),
                ("reason", models.CharField(blank=True, default="", max_length=128)),
                ("sent_at", models.DateTimeField()),
                ("answered_at", models.DateTimeField(null=True)),
                ("released_at", models.DateTimeField(null=True)),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="remote_attempts",
                        to="x402.payment",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("released_at__isnull", True)),
                        fields=("payment",),
                        name="x402_remote_attempt_open_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("outcome__in", ["sent", "nothing_sent", "claimed", "refused", "unknown", "settled"])
                        ),
                        name="x402_remote_outcome_known",
                    ),
                ],
            },
        ),
    ]
