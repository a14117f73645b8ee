"""The models of the launch and their first prices. Units: tokens, and MicroUSD per million tokens.

The demonstration model is cheap and small: its short context lets anyone see what happens when a prompt is too long.
"""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import migrations

LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)

# name, upstream, context, longest answer, input price, output price
CATALOGUE = (
    ("claude-sonnet-4", "anthropic", 200_000, 64_000, 3_000_000, 15_000_000),
    ("claude-haiku-4", "anthropic", 200_000, 64_000, 1_000_000, 5_000_000),
    ("gpt-4.1", "openai", 1_000_000, 32_768, 2_000_000, 8_000_000),
    ("gpt-4.1-mini", "openai", 1_000_000, 32_768, 400_000, 1_600_000),
    ("loa-demo", "demo", 8_192, 2_048, 1_000_000, 2_000_000),
)


def add_catalogue(apps, schema_editor):
    """Add the models with version 1 of their prices."""
    model_rows, price_rows = apps.get_model("inference", "Model"), apps.get_model("inference", "ModelPrice")
    for name, upstream, context_tokens, max_output_tokens, input_price, output_price in CATALOGUE:
        model = model_rows.objects.create(
            name=name,
            upstream=upstream,
            upstream_model=name,
            capabilities=["chat"],
            context_tokens=context_tokens,
            max_output_tokens=max_output_tokens,
        )
        price_rows.objects.create(
            model=model,
            version=1,
            input_micro_usd_per_million=input_price,
            output_micro_usd_per_million=output_price,
            valid_from=LAUNCH,
        )


class Migration(migrations.Migration):
    """Its reverse does nothing: the tables go with the migration before, and published prices are never deleted."""

    dependencies: ClassVar = [("inference", "0001_catalogue")]
    operations: ClassVar = [migrations.RunPython(add_catalogue, migrations.RunPython.noop)]
