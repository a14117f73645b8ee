"""What was handed to a remote facilitator: written before a byte leaves, so that a crash leaves evidence (R7, R17).

A payment that a remote facilitator may have received belongs to it until the chain shows otherwise: the attempt is
*released* when nothing was sent, or when the authorization is still unused some time after the bytes left. Only then
may another way of settling take the payment.
"""

from typing import ClassVar

from django.db import models


class RemoteOutcome(models.TextChoices):
    """What the facilitator said, which is a hint and never evidence."""

    SENT = "sent"
    NOTHING_SENT = "nothing_sent"
    CLAIMED = "claimed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SETTLED = "settled"


class RemoteAttempt(models.Model):
    """One payment handed to one facilitator. At most one attempt of a payment is open: not released, not settled."""

    payment = models.ForeignKey("x402.Payment", on_delete=models.PROTECT, related_name="remote_attempts")
    facilitator = models.CharField(max_length=200)
    outcome = models.CharField(max_length=16, choices=RemoteOutcome.choices, default=RemoteOutcome.SENT)
    claimed_transaction = models.CharField(max_length=66, blank=True, default="")
    reason = models.CharField(max_length=128, blank=True, default="")
    sent_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["payment"], condition=models.Q(released_at__isnull=True), name="x402_remote_attempt_open_once"
            ),
            models.CheckConstraint(
                condition=models.Q(outcome__in=RemoteOutcome.values), name="x402_remote_outcome_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} at {self.facilitator}"
