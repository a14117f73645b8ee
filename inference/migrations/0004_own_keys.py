"""Keys of buyers for the upstreams, sealed, and how often each was used on a day."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

import inference.models.own_keys


class Migration(migrations.Migration):
    dependencies: ClassVar = [("inference", "0003_routes_and_usage")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="OwnKey",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=inference.models.own_keys.new_own_key_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("account_id", models.CharField(max_length=40)),
                ("upstream", models.CharField(max_length=50)),
                ("label", models.CharField(blank=True, max_length=80)),
                ("sealed", models.BinaryField()),
                ("hint", models.CharField(help_text="The key's last letters.", max_length=4)),
                ("daily_limit", models.PositiveIntegerField(default=1000, help_text="Calls a day, by UTC.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["account_id", "-id"], name="inference_own_keys")],
            },
        ),
        migrations.CreateModel(
            name="OwnKeyUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("calls", models.PositiveIntegerField()),
                (
                    "key",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="uses", to="inference.ownkey"
                    ),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("key", "day"), name="inference_own_key_day")]},
        ),
    ]
