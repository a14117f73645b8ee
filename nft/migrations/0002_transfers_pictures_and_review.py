"""Cursors of transfers, pictures of tokens, reviews of words, hand-overs, and onboardings that end."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("nft", "0001_initial"),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="TokenPicture",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chain", models.CharField(max_length=25)),
                ("collection", models.CharField(max_length=42)),
                ("token_id", models.CharField(max_length=78)),
                ("media_type", models.CharField(blank=True, max_length=20)),
                ("body", models.BinaryField(blank=True)),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(blank=True, max_length=120)),
                ("fetched_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "ordering": ["-fetched_at"],
            },
        ),
        migrations.CreateModel(
            name="TransferCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chain", models.CharField(max_length=25)),
                ("collection", models.CharField(max_length=42)),
                ("next_block", models.BigIntegerField()),
                ("block_hash", models.CharField(max_length=66)),
                ("recent", models.JSONField(default=list)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["chain", "collection"],
            },
        ),
        migrations.AlterModelOptions(
            name="onboardingsession",
            options={"ordering": ["-created_at"], "verbose_name": "onboarding"},
        ),
        migrations.AlterModelOptions(
            name="personality",
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("review_personality", "Can approve and withdraw a holder's words"),
                    ("restore_personality", "Can bring an earlier version back"),
                ],
                "verbose_name_plural": "personalities",
            },
        ),
        migrations.RemoveConstraint(
            model_name="onboardingsession",
            name="nft_one_open_onboarding",
        ),
        migrations.AddField(
            model_name="onboardingsession",
            name="expired_at",
            field=models.DateTimeField(help_text="When it was ended because nobody went on with it.", null=True),
        ),
        migrations.AddField(
            model_name="personality",
            name="handed_over_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="personality",
            name="handed_to",
            field=models.CharField(
                blank=True, help_text="The owner after the last transfer that was seen.", max_length=42
            ),
        ),
        migrations.AddField(
            model_name="personality",
            name="review",
            field=models.CharField(
                choices=[("clear", "clear"), ("waiting", "waiting"), ("withdrawn", "withdrawn"), ("held", "held")],
                default="clear",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="personality",
            name="written_by",
            field=models.CharField(
                help_text="The wallet that wrote it: the owner, or one the owner let act.", max_length=42
            ),
        ),
        migrations.AlterField(
            model_name="personalityversion",
            name="written_by",
            field=models.CharField(
                help_text="The wallet that wrote it: the owner, or one the owner let act.", max_length=42
            ),
        ),
        migrations.AddIndex(
            model_name="onboardingsession",
            index=models.Index(
                condition=models.Q(("completed_at", None), ("expired_at", None)),
                fields=["updated_at"],
                name="nft_onboarding_by_change",
            ),
        ),
        migrations.AddIndex(
            model_name="onboardingsession",
            index=models.Index(fields=["chain", "collection", "token_id"], name="nft_onboarding_of_token"),
        ),
        migrations.AddConstraint(
            model_name="onboardingsession",
            constraint=models.UniqueConstraint(
                condition=models.Q(("completed_at", None), ("expired_at", None)),
                fields=("account_id", "wallet"),
                name="nft_one_open_onboarding",
            ),
        ),
        migrations.AddConstraint(
            model_name="personality",
            constraint=models.CheckConstraint(
                condition=models.Q(("review__in", ["clear", "waiting", "withdrawn", "held"])),
                name="nft_personality_review",
            ),
        ),
        migrations.AddConstraint(
            model_name="tokenpicture",
            constraint=models.UniqueConstraint(
                fields=("chain", "collection", "token_id"), name="nft_one_picture_a_token"
            ),
        ),
        migrations.AddConstraint(
            model_name="transfercursor",
            constraint=models.UniqueConstraint(fields=("chain", "collection"), name="nft_one_cursor_a_collection"),
        ),
    ]
