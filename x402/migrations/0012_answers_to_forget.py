"""The index by which the bodies of old answers are found: only those that are still kept are in it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0011_payments_by_method"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="storedanswer",
            index=models.Index(
                condition=models.Q(("body_encrypted__isnull", False)),
                fields=["created_at"],
                name="x402_answer_kept_body",
            ),
        ),
    ]
