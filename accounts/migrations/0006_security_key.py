"""Security keys of staff."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0005_access"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="SecurityKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="The human-readable name of this device.", max_length=64)),
                ("confirmed", models.BooleanField(default=True, help_text="Is this device ready for use?")),
                ("credential_id", models.CharField(help_text="In base64url.", max_length=1368, unique=True)),
                ("public_key", models.BinaryField(help_text="COSE, as the authenticator gave it.")),
                (
                    "sign_count",
                    models.BigIntegerField(
                        default=0, help_text="How often the authenticator says it signed; 0: no count."
                    ),
                ),
                ("transports", models.JSONField(blank=True, default=list)),
                ("added_at", models.DateTimeField(auto_now_add=True)),
                ("used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The user that this device belongs to.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "security key",
                "ordering": ("id",),
                "default_permissions": (),
            },
        ),
    ]
