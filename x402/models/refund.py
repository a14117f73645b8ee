"""Credit on its way back to its wallet on the chain (rule R4).

A refund is one row and one authorization: its nonce is the hash of its id, so the chain itself refuses a second payment
of it. The row moves only along `sql/refund_state.sql`, with the journals that move its money.
"""

from typing import ClassVar

from django.db import models


class RefundState(models.TextChoices):
    REQUESTED = "requested"  # nothing has moved
    STARTED = "started"  # off the notes, owed by us
    SENT = "sent"  # signed, and carried to the chain until it is final or dead
    PAID = "paid"
    FAILED = "failed"  # dead on the chain; back on a note that is owed
    REFUSED = "refused"  # the ledger took nothing off the notes


REFUND_ENDS = frozenset({RefundState.PAID, RefundState.FAILED, RefundState.REFUSED})


class Refund(models.Model):
    """Units: MicroUSDC. `valid_before` and `first_block` are set when it is signed, never changed afterwards."""

    id = models.CharField(primary_key=True, max_length=40)
    state = models.CharField(max_length=12, choices=RefundState.choices, default=RefundState.REQUESTED)
    attempt = models.IntegerField(default=1)
    cause = models.CharField(max_length=12, help_text="wallet, owed or suspense: who asked for it")
    wallet = models.CharField(max_length=42)
    account_id = models.CharField(max_length=40)
    network = models.CharField(max_length=64)
    asset = models.CharField(max_length=42)
    amount_micro_usdc = models.BigIntegerField()
    note_id = models.CharField(max_length=40, blank=True, default="")
    idempotency_key = models.CharField(max_length=64, blank=True, default="")
    request_hash = models.CharField(max_length=64, blank=True, default="")
    approval_id = models.CharField(max_length=40, blank=True, default="")

    paid_from = models.CharField(max_length=42, blank=True, default="")
    nonce = models.CharField(max_length=66, blank=True, default="")
    valid_before = models.BigIntegerField(default=0)
    first_block = models.BigIntegerField(default=0)
    signature = models.BinaryField(default=b"")
    carried_by = models.CharField(max_length=40, blank=True, default="")

    transaction_hash = models.CharField(max_length=66, blank=True, default="")
    log_index = models.IntegerField(null=True)
    failure_code = models.CharField(max_length=64, blank=True, default="")
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["wallet", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="x402_refund_once_per_key",
            ),
            models.UniqueConstraint(
                fields=["note_id"],
                condition=~models.Q(note_id="") & models.Q(state__in=["requested", "started", "sent"]),
                name="x402_refund_one_per_note",
            ),
            models.CheckConstraint(condition=models.Q(amount_micro_usdc__gt=0), name="x402_refund_amount_positive"),
            models.CheckConstraint(condition=models.Q(state__in=RefundState.values), name="x402_refund_state_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["wallet", "-id"], name="x402_refund_of_wallet"),
            models.Index(
                fields=["updated_at"],
                condition=models.Q(state__in=["requested", "started", "sent"]),
                name="x402_refund_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.state})"

    @property
    def is_over(self) -> bool:
        return self.state in REFUND_ENDS


class RefundDay(models.Model):
    """What all wallets together were refunded, or are being, on one UTC day: one row that is locked when it grows."""

    network = models.CharField(max_length=64)
    asset = models.CharField(max_length=42)
    day = models.DateField()
    amount_micro_usdc = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["network", "asset", "day"], name="x402_refund_day_once"),
            models.CheckConstraint(condition=models.Q(amount_micro_usdc__gte=0), name="x402_refund_day_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.asset} on {self.day}"
