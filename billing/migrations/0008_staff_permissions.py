"""What staff may do beside looking, as permissions that roles are made of."""

from django.db import migrations

PERMISSIONS = (
    ("retry_deadletter", "Can retry a dead letter"),
    ("void_deadletter", "Can void a dead letter"),
    ("annotate_deadletter", "Can add a note to a dead letter"),
    ("bulk_deadletter", "Can decide about all dead letters of a queue"),
    ("replay_delivery", "Can send a webhook again"),
    ("see_webhook_secret", "Can see the secret of a webhook endpoint"),
    ("request_approval", "Can ask for a second person's yes"),
    ("grant_approval", "Can be the second person"),
    ("see_operations", "Can see queues, circuits and streams at work"),
    ("force_circuit", "Can open and close a circuit by hand"),
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_outbox")]
    operations = [
        migrations.AlterModelOptions(name="staffact", options={"default_permissions": (), "permissions": PERMISSIONS})
    ]
