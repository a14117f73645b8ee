"""Onboarding sessions, personalities and their versions."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

import nft.models.onboarding
import nft.models.personality


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="OnboardingSession",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=nft.models.onboarding.new_session_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("account_id", models.CharField(max_length=40)),
                ("wallet", models.CharField(max_length=42)),
                (
                    "step",
                    models.CharField(
                        choices=[
                            ("wallet_connect", "wallet_connect"),
                            ("nft_detect", "nft_detect"),
                            ("nft_select", "nft_select"),
                            ("personality_config", "personality_config"),
                            ("credit_purchase", "credit_purchase"),
                            ("agent_live", "agent_live"),
                            ("completed", "completed"),
                        ],
                        default="nft_detect",
                        max_length=20,
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "found_tokens",
                    models.JSONField(default=list, help_text="What the last scan found; shown, never believed."),
                ),
                ("chain", models.CharField(blank=True, max_length=25)),
                ("collection", models.CharField(blank=True, max_length=42)),
                ("token_id", models.CharField(blank=True, max_length=78)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("completed_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("completed_at", None)),
                        fields=("account_id", "wallet"),
                        name="nft_one_open_onboarding",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Personality",
            fields=[
                ("name", models.CharField(max_length=60)),
                (
                    "voice",
                    models.CharField(
                        choices=[
                            ("analytical", "analytical"),
                            ("creative", "creative"),
                            ("witty", "witty"),
                            ("sage", "sage"),
                        ],
                        max_length=12,
                    ),
                ),
                ("expertise_domains", models.JSONField(default=list, help_text="At most 5 texts.")),
                ("custom_instructions", models.TextField(blank=True)),
                (
                    "written_by",
                    models.CharField(help_text="The wallet that owned the token and wrote it.", max_length=42),
                ),
                (
                    "id",
                    models.CharField(
                        default=nft.models.personality.new_personality_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("chain", models.CharField(max_length=25)),
                ("collection", models.CharField(max_length=42)),
                ("token_id", models.CharField(max_length=78)),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name_plural": "personalities",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("chain", "collection", "token_id"), name="nft_one_personality_a_token"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("collection__regex", "^0x[0-9a-f]{40}$")),
                        name="nft_personality_collection_spelling",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("token_id__regex", "^(0|[1-9][0-9]{0,77})$")),
                        name="nft_personality_token_spelling",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("voice__in", ["analytical", "creative", "witty", "sage"])),
                        name="nft_personality_voice",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonalityVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60)),
                (
                    "voice",
                    models.CharField(
                        choices=[
                            ("analytical", "analytical"),
                            ("creative", "creative"),
                            ("witty", "witty"),
                            ("sage", "sage"),
                        ],
                        max_length=12,
                    ),
                ),
                ("expertise_domains", models.JSONField(default=list, help_text="At most 5 texts.")),
                ("custom_instructions", models.TextField(blank=True)),
                (
                    "written_by",
                    models.CharField(help_text="The wallet that owned the token and wrote it.", max_length=42),
                ),
                ("number", models.PositiveIntegerField()),
                ("restored_from", models.PositiveIntegerField(null=True)),
                ("written_at", models.DateTimeField(auto_now_add=True)),
                (
                    "personality",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="versions", to="nft.personality"
                    ),
                ),
            ],
            options={
                "ordering": ["personality", "-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("personality", "number"), name="nft_personality_version_once")
                ],
            },
        ),
    ]
