"""Feature flags, all on as the launch has them, and the allowlist."""

from typing import ClassVar

from django.db import migrations, models

LAUNCHED = ("billing", "credits", "nft", "onboarding", "x402")


def switch_on(apps, schema_editor):
    """What is built is on; staff switch it off."""
    flags = apps.get_model("accounts", "FeatureFlag").objects
    for name in LAUNCHED:
        flags.get_or_create(name=name, defaults={"is_enabled": True, "reason": "on since the launch"})


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0004_api_keys")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="FeatureFlag",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("is_enabled", models.BooleanField(default=False)),
                (
                    "percentage",
                    models.PositiveSmallIntegerField(default=100, help_text="Of wallets or accounts, 0 to 100."),
                ),
                (
                    "subjects",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Wallets or account ids for whom it is on whatever the percentage.",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("changed_by", models.CharField(blank=True, max_length=150)),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ("name",),
                "constraints": (
                    models.CheckConstraint(condition=models.Q(percentage__lte=100), name="accounts_flag_percentage"),
                ),
            },
        ),
        migrations.CreateModel(
            name="AllowlistEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("address", models.CharField(max_length=42, unique=True)),
                ("reason", models.CharField(max_length=500)),
                ("added_by", models.CharField(max_length=150)),
                ("added_at", models.DateTimeField(auto_now_add=True)),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, db_index=True, help_text="Empty: until it is removed.", null=True),
                ),
            ],
            options={
                "verbose_name": "allowlist entry",
                "verbose_name_plural": "allowlist entries",
                "ordering": ("-id",),
                "constraints": (
                    models.CheckConstraint(
                        condition=models.Q(address__regex="^0x[0-9a-f]{40}$"), name="accounts_allowed_hex"
                    ),
                ),
            },
        ),
        migrations.RunPython(switch_on, migrations.RunPython.noop),
    ]
