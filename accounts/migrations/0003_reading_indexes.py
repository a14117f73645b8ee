"""Indexes that staff pages find rare rows by, which would otherwise be searched for in the whole table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_audit_is_append_only"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="wallet",
            index=models.Index(fields=["address"], name="accounts_wallet_by_address"),
        ),
    ]
