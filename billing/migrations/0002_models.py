"""What the ORM knows of the ledger's tables, which the migration before has made."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = False

    dependencies = [("billing", "0001_ledger")]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("denomination", models.TextField()),
                ("owner", models.TextField()),
                ("opened_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"billing"."account"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="AccountShape",
            fields=[
                ("number", models.SmallIntegerField(primary_key=True, serialize=False)),
                ("name", models.TextField(unique=True)),
                ("pattern", models.TextField()),
                ("kind", models.TextField()),
                ("is_sharded", models.BooleanField()),
                ("owner", models.TextField()),
                ("denomination_pattern", models.TextField()),
                ("floor", models.BigIntegerField()),
                ("cap", models.BigIntegerField()),
            ],
            options={
                "db_table": '"billing"."account_shape"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("taken_at", models.DateTimeField()),
                ("heads", models.JSONField()),
                ("journal_count", models.BigIntegerField()),
                ("trial_balance", models.JSONField()),
                ("timeline", models.TextField()),
                ("previous_digest", models.BinaryField()),
                ("digest", models.BinaryField()),
                ("signature", models.BinaryField()),
                ("key_id", models.TextField()),
            ],
            options={
                "db_table": '"billing"."anchor"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("target", models.TextField()),
                ("target_version", models.TextField()),
                ("denomination", models.TextField()),
                ("amount", models.BigIntegerField()),
                ("destination", models.TextField()),
                ("reason", models.TextField()),
                ("maker", models.TextField()),
                ("content_hash", models.BinaryField()),
                ("requested_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"billing"."approval"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Balance",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id", "shard", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("shard", models.IntegerField()),
                ("posted", models.BigIntegerField()),
                ("version", models.BigIntegerField()),
                ("floor", models.BigIntegerField()),
                ("cap", models.BigIntegerField()),
            ],
            options={
                "db_table": '"billing"."balance"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="BillingEntry",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("state", models.TextField()),
                ("account_id", models.TextField()),
                ("wallet", models.TextField()),
                ("denomination", models.TextField()),
                ("funding", models.TextField()),
                ("held_amount", models.BigIntegerField()),
                ("cost_amount", models.BigIntegerField(null=True)),
                ("revenue_remaining", models.BigIntegerField()),
                ("payment_id", models.TextField()),
                ("correlation_id", models.TextField()),
                ("reason", models.TextField()),
                ("spend_key", models.TextField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "billing entries",
                "db_table": '"billing"."billing_entry"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("number", models.BigIntegerField()),
                ("wallet", models.TextField()),
                ("denomination", models.TextField()),
                ("kind", models.TextField()),
                ("amount", models.BigIntegerField()),
                ("remaining", models.BigIntegerField()),
                ("source", models.TextField()),
                ("journal_id", models.TextField()),
                ("issued_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(null=True)),
                ("refundable_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"billing"."credit_note"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="CreditNoteMovement",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("journal_id", models.TextField()),
                ("reason", models.TextField()),
                ("amount", models.BigIntegerField()),
                ("remaining_after", models.BigIntegerField()),
                ("entry_id", models.TextField(null=True)),
            ],
            options={
                "db_table": '"billing"."credit_note_movement"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("queue", models.TextField()),
                ("subject_id", models.TextField()),
                ("entry_id", models.TextField(null=True)),
                ("reason", models.TextField()),
                ("state", models.TextField(default="pending")),
                ("attempt", models.IntegerField(default=0)),
                ("next_retry_at", models.DateTimeField()),
                ("schema_version", models.SmallIntegerField(default=1)),
                ("payload", models.JSONField()),
                ("trace_context", models.JSONField(default=dict)),
                ("correlation_id", models.TextField(default="")),
                ("owner", models.TextField(default="")),
                ("lease_until", models.DateTimeField(null=True)),
                ("last_error", models.TextField(default="")),
                ("resolution", models.TextField(default="")),
                ("resolved_by", models.TextField(default="")),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                ("escalated_at", models.DateTimeField(null=True)),
                ("resolved_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"billing"."dead_letter"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("body_hash", models.BinaryField()),
            ],
            options={
                "db_table": '"billing"."idempotency_key"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Journal",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField()),
                ("kind", models.TextField()),
                ("key", models.TextField()),
                ("body_hash", models.BinaryField()),
                ("previous_hash", models.BinaryField()),
                ("hash", models.BinaryField()),
                ("posting_count", models.SmallIntegerField()),
                ("effective_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
                ("correlation_id", models.TextField()),
                ("entry_id", models.TextField(null=True)),
                ("approval_id", models.TextField(null=True)),
                ("reverses", models.TextField(null=True)),
                ("metadata", models.JSONField()),
                ("schema_version", models.SmallIntegerField()),
                ("batch_first", models.BigIntegerField()),
                ("closes_batch", models.BooleanField()),
            ],
            options={
                "db_table": '"billing"."journal"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="JournalKindRow",
            fields=[
                ("kind", models.TextField(primary_key=True, serialize=False)),
                ("allowed_mask", models.BigIntegerField()),
                ("required_mask", models.BigIntegerField()),
                ("has_postings", models.BooleanField()),
                ("needs_entry", models.BooleanField()),
                ("needs_approval", models.BooleanField()),
                ("daily_limit", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": '"billing"."journal_kind"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Posting",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "journal_id", "line", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("line", models.SmallIntegerField()),
                ("shard", models.IntegerField()),
                ("version", models.BigIntegerField()),
                ("amount", models.BigIntegerField()),
                ("balance_after", models.BigIntegerField()),
            ],
            options={
                "db_table": '"billing"."posting"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PostingTemplate",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "kind", "shape", "sign", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.TextField()),
                ("shape", models.TextField()),
                ("sign", models.SmallIntegerField()),
                ("is_required", models.BooleanField()),
            ],
            options={
                "db_table": '"billing"."posting_template"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Stream",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("lane", models.TextField()),
                ("last_token", models.BigIntegerField()),
                ("holder", models.TextField()),
                ("epoch", models.BigIntegerField()),
                ("lease_until", models.DateTimeField()),
                ("sequence", models.BigIntegerField()),
                ("head", models.BinaryField()),
                ("last_recorded_at", models.DateTimeField()),
                ("closed_until", models.DateTimeField()),
                ("opened_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"billing"."stream"',
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ApprovalGrant",
            fields=[
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="grant",
                        serialize=False,
                        to="billing.approval",
                    ),
                ),
                ("checker", models.TextField()),
                ("content_hash", models.BinaryField()),
                ("granted_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"billing"."approval_grant"',
                "managed": False,
            },
        ),
    ]
