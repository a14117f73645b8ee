"""Payments that buy prepaid credit: what they mint, and one of them for each key of a buyer."""

from django.db import migrations, models

from x402 import sql


class Migration(migrations.Migration):
    dependencies = [
        ("x402", "0007_facilitated_payment"),
    ]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="minted_micro_usd",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="payment",
            name="purchase_key",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    models.Q(("purchase_key", ""), _negated=True), models.Q(("state", "dead"), _negated=True)
                ),
                fields=("purchase_key",),
                name="x402_payment_purchase_once",
            ),
        ),
        migrations.RunSQL(sql.read("purchases.sql"), sql.read("purchases.reverse.sql")),
    ]
