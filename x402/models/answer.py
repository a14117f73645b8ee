"""What was answered to a paid request, encrypted at rest, so that an honest retry gets it again for nothing (R23)."""

from typing import ClassVar

from django.db import models


class StoredAnswer(models.Model):
    """Valid only for the attempt that served the payment; written before `served` is committed, read only after."""

    payment = models.ForeignKey("x402.Payment", on_delete=models.PROTECT, related_name="answers")
    attempt = models.IntegerField()
    status = models.SmallIntegerField()
    headers = models.JSONField(default=dict)
    body_encrypted = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "attempt"], name="x402_answer_once_per_attempt")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["created_at"], condition=models.Q(body_encrypted__isnull=False), name="x402_answer_kept_body"
            )
        ]

    def __str__(self) -> str:
        return f"answer of {self.payment_id}"
