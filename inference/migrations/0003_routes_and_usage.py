"""More than one upstream for a model, a fee for calls with the buyer's own key, and what each call consumed."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

# The same guard as in 0001, and the fee is part of what never changes.
PRICE_GUARD = """
CREATE OR REPLACE FUNCTION inference_keep_published_price() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a published price is never deleted' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (OLD.model_id, OLD.version, OLD.input_micro_usd_per_million, OLD.output_micro_usd_per_million, OLD.valid_from,
        OLD.own_key_micro_usd)
        IS DISTINCT FROM
       (NEW.model_id, NEW.version, NEW.input_micro_usd_per_million, NEW.output_micro_usd_per_million, NEW.valid_from,
        NEW.own_key_micro_usd)
    THEN
        RAISE EXCEPTION 'a published price never changes; publish a new version'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""
EARLIER_GUARD = """
CREATE OR REPLACE FUNCTION inference_keep_published_price() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
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
"""
LAUNCH_MODELS = ("claude-sonnet-4", "claude-haiku-4", "gpt-4.1", "gpt-4.1-mini", "loa-demo")


def say_that_tools_work(apps, schema_editor):
    """The models of the launch can call tools; staff may have said otherwise since, which stays."""
    models_of_launch = apps.get_model("inference", "Model").objects.filter(name__in=LAUNCH_MODELS)
    models_of_launch.filter(capabilities=["chat"]).update(capabilities=["chat", "tools"])


def say_less(apps, schema_editor):
    """As before."""
    models_of_launch = apps.get_model("inference", "Model").objects.filter(name__in=LAUNCH_MODELS)
    models_of_launch.filter(capabilities=["chat", "tools"]).update(capabilities=["chat"])


class Migration(migrations.Migration):
    dependencies: ClassVar = [("inference", "0002_launch_catalogue")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="modelprice",
            name="own_key_micro_usd",
            field=models.BigIntegerField(
                default=200, help_text="A call whose tokens the buyer's own key pays for, MicroUSD."
            ),
        ),
        migrations.AddConstraint(
            model_name="modelprice",
            constraint=models.CheckConstraint(
                condition=models.Q(own_key_micro_usd__range=(1, 10**12)), name="inference_own_key_fee_in_range"
            ),
        ),
        migrations.RunSQL(PRICE_GUARD, EARLIER_GUARD),
        migrations.CreateModel(
            name="ModelRoute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "position",
                    models.PositiveSmallIntegerField(
                        default=1, help_text="1 is asked first after the model's own upstream."
                    ),
                ),
                ("upstream", models.CharField(help_text="A name in LOA['UPSTREAMS'].", max_length=50)),
                ("upstream_model", models.CharField(help_text="What this upstream calls the model.", max_length=100)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="routes", to="inference.model"
                    ),
                ),
            ],
            options={
                "ordering": ["model_id", "position"],
                "constraints": [
                    models.UniqueConstraint(fields=("model", "position"), name="inference_route_position_unique")
                ],
            },
        ),
        migrations.CreateModel(
            name="CallUsage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("payment_id", models.CharField(max_length=40, unique=True)),
                ("account_id", models.CharField(max_length=40)),
                ("model", models.CharField(max_length=100)),
                ("price_version", models.PositiveIntegerField()),
                ("upstream", models.CharField(max_length=50)),
                ("input_tokens", models.PositiveBigIntegerField()),
                ("output_tokens", models.PositiveBigIntegerField()),
                ("counted_input_tokens", models.PositiveBigIntegerField()),
                ("counted_output_tokens", models.PositiveBigIntegerField()),
                ("reported_input_tokens", models.PositiveBigIntegerField(null=True)),
                ("reported_output_tokens", models.PositiveBigIntegerField(null=True)),
                (
                    "is_deviating",
                    models.BooleanField(default=False, help_text="The upstream's count is far from ours."),
                ),
                ("is_streamed", models.BooleanField(default=False)),
                (
                    "has_own_key",
                    models.BooleanField(default=False, help_text="The buyer's own key paid for the tokens."),
                ),
                ("finish_reason", models.CharField(max_length=32)),
                ("charged_micro_usdc", models.BigIntegerField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name_plural": "call usage",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["account_id", "-id"], name="inference_usage_of_account"),
                    models.Index(fields=["account_id", "created_at"], name="inference_usage_by_time"),
                    models.Index(
                        fields=["-id"], condition=models.Q(is_deviating=True), name="inference_usage_deviating"
                    ),
                ],
            },
        ),
        migrations.RunPython(say_that_tools_work, say_less),
    ]
