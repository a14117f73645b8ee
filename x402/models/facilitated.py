"""Payments that other sites had us carry to the chain (`POST /facilitator/settle`); none of them is our money.

One authorization is one row, unique on the same replay key as a payment's (R18): a caller that asks again gets the
stored result, another caller never a second success. Nothing is booked for them but the gas, unless they pay us.
"""

from typing import ClassVar

from django.db import models


class FacilitatedState(models.TextChoices):
    ACCEPTED = "accepted"
    SETTLING = "settling"
    SETTLEMENT_UNKNOWN = "settlement_unknown"
    SETTLED = "settled"
    DEAD = "dead"


class FacilitatedPayment(models.Model):
    """Units: `*_micro_usdc` are the asset's millionths. `caller` is an API key's family or a client's address."""

    id = models.CharField(primary_key=True, max_length=40)
    caller = models.CharField(max_length=80)
    state = models.CharField(max_length=20, choices=FacilitatedState.choices, default=FacilitatedState.ACCEPTED)
    lease_until = models.DateTimeField(null=True)

    protocol_version = models.SmallIntegerField()
    scheme = models.CharField(max_length=16)
    method = models.CharField(max_length=16)
    network = models.CharField(max_length=64)
    verifying_contract = models.CharField(max_length=42)
    payer = models.CharField(max_length=42)
    nonce = models.CharField(max_length=66)
    asset = models.CharField(max_length=42)
    pay_to = models.CharField(max_length=42)
    amount_micro_usdc = models.BigIntegerField()
    due_micro_usdc = models.BigIntegerField()
    valid_after = models.BigIntegerField()
    valid_before = models.BigIntegerField()
    signature = models.BinaryField()
    facilitator = models.CharField(max_length=42, blank=True, default="")

    transaction = models.ForeignKey("x402.ChainTransaction", null=True, on_delete=models.PROTECT, related_name="+")
    transaction_hash = models.CharField(max_length=66, blank=True, default="")
    block_hash = models.CharField(max_length=66, blank=True, default="")
    block_number = models.BigIntegerField(null=True)
    log_index = models.IntegerField(null=True)
    failure_code = models.CharField(max_length=64, blank=True, default="")
    attempts = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["network", "verifying_contract", "payer", "nonce"], name="x402_facilitated_replay_key"
            ),
            models.CheckConstraint(
                condition=models.Q(due_micro_usdc__gte=0) & models.Q(due_micro_usdc__lte=models.F("amount_micro_usdc")),
                name="x402_facilitated_due_within_signed",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=FacilitatedState.values), name="x402_facilitated_state_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["created_at"],
                condition=models.Q(state__in=["accepted", "settling", "settlement_unknown"]),
                name="x402_facilitated_open",
            ),
            models.Index(fields=["caller", "-created_at"], name="x402_facilitated_by_caller"),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.state})"
