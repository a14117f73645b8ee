"""Reports of the content security policy, in groups."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="PolicyReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("violated_directive", models.CharField(max_length=64)),
                ("blocked_uri", models.CharField(max_length=512)),
                ("document_uri", models.CharField(max_length=512)),
                ("report_count", models.BigIntegerField(default=0)),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "policy report",
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["last_seen_at", "id"], name="loa_site_policy_report_newest")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("violated_directive", "blocked_uri", "document_uri"),
                        name="loa_site_policy_report_group",
                    )
                ],
            },
        ),
    ]
