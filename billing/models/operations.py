"""What people and sweeps work on: dead letters, approvals, anchored heads."""

from django.db import models


class DeadLetter(models.Model):
    """Money to get or an event to book that could not be, and when it is tried again."""

    id = models.TextField(primary_key=True)
    queue = models.TextField()
    subject_id = models.TextField()
    entry_id = models.TextField(null=True)
    reason = models.TextField()
    state = models.TextField(default="pending")
    attempt = models.IntegerField(default=0)
    next_retry_at = models.DateTimeField()
    schema_version = models.SmallIntegerField(default=1)
    payload = models.JSONField()
    trace_context = models.JSONField(default=dict)
    correlation_id = models.TextField(default="")
    owner = models.TextField(default="")
    lease_until = models.DateTimeField(null=True)
    last_error = models.TextField(default="")
    resolution = models.TextField(default="")
    resolved_by = models.TextField(default="")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    escalated_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = '"billing"."dead_letter"'

    def __str__(self) -> str:
        return self.id


class Approval(models.Model):
    """What one person asks to be allowed to do, exactly."""

    id = models.TextField(primary_key=True)
    kind = models.TextField()
    target = models.TextField()
    target_version = models.TextField()
    denomination = models.TextField()
    amount = models.BigIntegerField()
    destination = models.TextField()
    reason = models.TextField()
    maker = models.TextField()
    content_hash = models.BinaryField()
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"billing"."approval"'

    def __str__(self) -> str:
        return self.id


class ApprovalGrant(models.Model):
    """The second person's yes."""

    approval = models.OneToOneField(Approval, on_delete=models.DO_NOTHING, primary_key=True, related_name="grant")
    checker = models.TextField()
    content_hash = models.BinaryField()
    granted_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"billing"."approval_grant"'

    def __str__(self) -> str:
        return self.approval_id


class Anchor(models.Model):
    """All heads of all streams at a moment, signed, and chained to the anchor before."""

    id = models.BigAutoField(primary_key=True)
    taken_at = models.DateTimeField()
    heads = models.JSONField()
    journal_count = models.BigIntegerField()
    trial_balance = models.JSONField()
    timeline = models.TextField()
    previous_digest = models.BinaryField()
    digest = models.BinaryField()
    signature = models.BinaryField()
    key_id = models.TextField()

    class Meta:
        managed = False
        db_table = '"billing"."anchor"'

    def __str__(self) -> str:
        return f"anchor {self.id}"
