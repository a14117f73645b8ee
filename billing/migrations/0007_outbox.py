"""Events that others are told about, what staff asked for once, and the pace at which a backlog is worked off.

Cursors begin at the present: nobody is told what happened before there was anybody to tell.
"""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = (
    "INSERT INTO billing_outboxcursor (stream, sequence) SELECT id, sequence FROM billing.stream;"
    "INSERT INTO billing_queuepace (queue, allowance, refilled_at) VALUES ('finalize', 0, clock_timestamp());"
)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_open_credit"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxCursor",
            fields=[
                ("stream", models.IntegerField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="QueuePace",
            fields=[
                ("queue", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("allowance", models.PositiveIntegerField(default=0)),
                ("refilled_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="StaffAct",
            fields=[
                ("token", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("actor", models.CharField(max_length=150)),
                ("act", models.CharField(max_length=80)),
                ("subject", models.CharField(max_length=120)),
                ("done_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("url", models.URLField(max_length=500)),
                ("description", models.CharField(blank=True, max_length=200)),
                ("event_types", models.JSONField(help_text="which kinds of event it wants")),
                ("is_active", models.BooleanField(default=True)),
                ("secret_version", models.PositiveIntegerField(default=1)),
                ("rotated_at", models.DateTimeField(null=True)),
                ("disabled_reason", models.CharField(blank=True, max_length=200)),
                ("created_by", models.CharField(max_length=150)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name": "webhook endpoint",
            },
        ),
        migrations.CreateModel(
            name="BulkDecision",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("act", models.CharField(choices=[("retry", "Retry"), ("void", "Void")], max_length=10)),
                ("queue", models.CharField(max_length=20)),
                ("letter_state", models.CharField(max_length=20)),
                ("until", models.DateTimeField(help_text="letters written after this moment are left alone")),
                ("reason", models.TextField()),
                ("asked_by", models.CharField(max_length=150)),
                ("asked_at", models.DateTimeField(auto_now_add=True)),
                ("after", models.CharField(blank=True, help_text="the last letter that was looked at", max_length=40)),
                ("decided", models.PositiveIntegerField(default=0)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "bulk decision",
                "indexes": [
                    models.Index(condition=models.Q(("finished_at", None)), fields=["id"], name="bulk_decision_open")
                ],
            },
        ),
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=60)),
                ("key", models.CharField(max_length=200, unique=True)),
                ("payload", models.JSONField()),
                ("correlation_id", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField()),
                ("addressed_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "event",
                "indexes": [
                    models.Index(fields=["created_at"], name="outbox_event_created"),
                    models.Index(
                        condition=models.Q(("addressed_at", None)), fields=["id"], name="outbox_event_unaddressed"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("delivered", "Delivered"), ("failed", "Failed")],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField()),
                ("lease_until", models.DateTimeField(null=True)),
                ("last_status", models.PositiveIntegerField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=300)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "event",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="billing.outboxevent"
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="billing.webhookendpoint",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "pending")), fields=["next_try_at"], name="webhook_delivery_due"
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("event", "endpoint"), name="webhook_delivery_once")],
            },
        ),
        migrations.RunSQL(FORWARD, reverse_sql=migrations.RunSQL.noop),
    ]
