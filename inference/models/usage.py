"""What each paid call consumed: the figures its charge was made of, and those of the other side to compare with."""

from typing import ClassVar

from django.db import models


class CallUsage(models.Model):
    """One paid call. Units: tokens; `charged_micro_usdc` is MicroUSDC. Written once, before the charge is booked.

    `input_tokens` and `output_tokens` were charged; `counted_*` are our own count, `reported_*` the upstream's.
    """

    payment_id = models.CharField(max_length=40, unique=True)
    account_id = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    price_version = models.PositiveIntegerField()
    upstream = models.CharField(max_length=50)
    input_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    counted_input_tokens = models.PositiveBigIntegerField()
    counted_output_tokens = models.PositiveBigIntegerField()
    reported_input_tokens = models.PositiveBigIntegerField(null=True)
    reported_output_tokens = models.PositiveBigIntegerField(null=True)
    is_deviating = models.BooleanField(default=False, help_text="The upstream's count is far from ours.")
    is_streamed = models.BooleanField(default=False)
    has_own_key = models.BooleanField(default=False, help_text="The buyer's own key paid for the tokens.")
    finish_reason = models.CharField(max_length=32)
    charged_micro_usdc = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "call usage"
        indexes: ClassVar = [
            models.Index(fields=["account_id", "-id"], name="inference_usage_of_account"),
            models.Index(fields=["account_id", "created_at"], name="inference_usage_by_time"),
            models.Index(fields=["-id"], condition=models.Q(is_deviating=True), name="inference_usage_deviating"),
        ]

    def __str__(self) -> str:
        return self.payment_id
