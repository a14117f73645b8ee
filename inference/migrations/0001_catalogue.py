"""The catalogue's tables, and the trigger that keeps published prices as they were."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

PRICE_GUARD = """
CREATE FUNCTION inference_keep_published_price() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a published price is never deleted' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (OLD.model_id, OLD.version, OLD.input_micro_usd_per_million, OLD.output_micro_usd_per_million, OLD.valid_from)
        IS DISTINCT FROM
       (NEW.model_id, NEW.version, NEW.input_micro_usd_per_million, NEW.output_micro_usd_per_million, NEW.valid_from)
    THEN
        RAISE EXCEPTION 'a published price never changes; publish a new version'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER inference_price_is_kept BEFORE UPDATE OR DELETE ON inference_modelprice
    FOR EACH ROW EXECUTE FUNCTION inference_keep_published_price();
"""
NO_PRICE_GUARD = """
DROP TRIGGER inference_price_is_kept ON inference_modelprice;
DROP FUNCTION inference_keep_published_price();
"""


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Model",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "upstream",
                    models.CharField(help_text="A name in LOA['UPSTREAMS']; without it, not listed.", max_length=50),
                ),
                ("upstream_model", models.CharField(help_text="What the upstream calls this model.", max_length=100)),
                ("capabilities", models.JSONField(default=list, help_text='Words such as "chat" and "tools".')),
                ("context_tokens", models.PositiveIntegerField(help_text="Prompt and answer together.")),
                ("max_output_tokens", models.PositiveIntegerField()),
                ("is_offered", models.BooleanField(default=True, help_text="Untick to withdraw it from sale.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(max_output_tokens__gte=1, max_output_tokens__lt=models.F("context_tokens")),
                        name="inference_model_writes_less_than_it_reads",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelPrice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField()),
                ("input_micro_usd_per_million", models.BigIntegerField()),
                ("output_micro_usd_per_million", models.BigIntegerField()),
                ("valid_from", models.DateTimeField()),
                (
                    "is_revoked",
                    models.BooleanField(default=False, help_text="A mistyped price: its unpaid quotes are refused."),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="prices", to="inference.model"
                    ),
                ),
            ],
            options={
                "ordering": ["model_id", "-version"],
                "constraints": [
                    models.UniqueConstraint(fields=("model", "version"), name="inference_price_version_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            version__gte=1,
                            input_micro_usd_per_million__range=(0, 10**12),
                            output_micro_usd_per_million__range=(0, 10**12),
                        ),
                        name="inference_price_in_range",
                    ),
                ],
            },
        ),
        migrations.RunSQL(PRICE_GUARD, NO_PRICE_GUARD),
    ]
