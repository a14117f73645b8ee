"""The index that staff find payments of rarer methods by, which would otherwise be searched for in the whole table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0010_refunds"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("method__in", ["permit2", "api_key"])),
                fields=["method", "created_at", "id"],
                name="x402_payment_by_rare_method",
            ),
        ),
    ]
