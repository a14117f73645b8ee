"""API keys, stored as their HMAC only, and what each family of keys spends on a day."""

import django.db.models.deletion
from django.db import migrations, models

import accounts.models.api_key


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_reading_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiKeyUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("family", models.CharField(max_length=40)),
                ("day", models.DateField(db_index=True)),
                ("amount_micro_usd", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "API key use",
                "constraints": [
                    models.UniqueConstraint(fields=("family", "day"), name="accounts_key_use_once_a_day"),
                    models.CheckConstraint(
                        condition=models.Q(("amount_micro_usd__gte", 0)), name="accounts_key_use_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=accounts.models.api_key.new_key_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "family",
                    models.CharField(db_index=True, help_text="id of the key it was rotated from", max_length=40),
                ),
                ("name", models.CharField(blank=True, help_text="what its owner calls it", max_length=80)),
                (
                    "hint",
                    models.CharField(help_text="kind and last four characters, to tell keys apart", max_length=16),
                ),
                ("key_hash", models.CharField(max_length=64, unique=True)),
                ("scopes", models.JSONField(default=list)),
                (
                    "limit_per_minute",
                    models.PositiveIntegerField(blank=True, help_text="empty: the site's figure", null=True),
                ),
                ("daily_cap_micro_usd", models.BigIntegerField(blank=True, help_text="empty: no cap", null=True)),
                ("created_by", models.CharField(help_text="the wallet that was signed in", max_length=42)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, help_text="to the hour", null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="api_keys", to="accounts.account"
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["account", "-id"], name="accounts_key_of_account")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("daily_cap_micro_usd", None), ("daily_cap_micro_usd__gt", 0), _connector="OR"
                        ),
                        name="accounts_key_cap_positive",
                    )
                ],
            },
        ),
    ]
