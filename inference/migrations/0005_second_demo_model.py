"""A second name for the demonstration model, half as dear and with less context: routing can be tried offline."""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import migrations

LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "loa-demo-mini"


def add_model(apps, schema_editor):
    """Add the model with version 1 of its price. Units: tokens, and MicroUSD per million tokens."""
    model = apps.get_model("inference", "Model").objects.create(
        name=NAME,
        upstream="demo",
        upstream_model="loa-demo",
        capabilities=["chat", "tools"],
        context_tokens=2_048,
        max_output_tokens=512,
    )
    apps.get_model("inference", "ModelPrice").objects.create(
        model=model,
        version=1,
        input_micro_usd_per_million=500_000,
        output_micro_usd_per_million=1_000_000,
        valid_from=LAUNCH,
    )


class Migration(migrations.Migration):
    """Its reverse does nothing: published prices are never deleted."""

    dependencies: ClassVar = [("inference", "0004_own_keys")]
    operations: ClassVar = [migrations.RunPython(add_model, migrations.RunPython.noop)]
