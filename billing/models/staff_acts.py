"""What staff asked for once: confirmed acts with their tokens, and decisions about many letters for a worker."""

from django.db import models


class StaffAct(models.Model):
    """A confirmed act. The confirmation page carries the token, so that a double click does it once."""

    token = models.CharField(primary_key=True, max_length=64)
    actor = models.CharField(max_length=150)
    act = models.CharField(max_length=80)
    subject = models.CharField(max_length=120)
    done_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        # What staff may do beside looking; roles are made of these (`loa_site.roles`).
        default_permissions = ()
        permissions = (
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

    def __str__(self) -> str:
        return f"{self.actor} {self.act} {self.subject}"


class BulkDecision(models.Model):
    """One decision about every letter of a queue in a state, carried out in parts, oldest letter first."""

    class Act(models.TextChoices):
        RETRY = "retry"
        VOID = "void"

    id = models.CharField(primary_key=True, max_length=40)
    act = models.CharField(max_length=10, choices=Act)
    queue = models.CharField(max_length=20)
    letter_state = models.CharField(max_length=20)
    until = models.DateTimeField(help_text="letters written after this moment are left alone")
    reason = models.TextField()
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(auto_now_add=True)
    after = models.CharField(max_length=40, blank=True, help_text="the last letter that was looked at")
    decided = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "bulk decision"
        indexes = (models.Index(fields=("id",), condition=models.Q(finished_at=None), name="bulk_decision_open"),)

    def __str__(self) -> str:
        return self.id


class QueuePace(models.Model):
    """How much of a backlog may be taken on now: a bucket that fills with time, shared by all workers."""

    queue = models.CharField(primary_key=True, max_length=20)
    allowance = models.PositiveIntegerField(default=0)
    refilled_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.queue
