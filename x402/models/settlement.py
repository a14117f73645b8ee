"""How payments reach the chain: the relayer's key, its transactions, and which transfer paid for which payment.

A transaction is stored, signed, before it is broadcast, and only bytes read from a committed row are ever sent (R25).
Whose transaction carried an authorization does not matter: evidence is one Transfer log, consumed once (R3).
"""

from typing import ClassVar

from django.db import models


class Relayer(models.Model):
    """One row per key and network: who may write with it now, and the next account nonce. Locked by each batch."""

    network = models.CharField(max_length=64)
    address = models.CharField(max_length=42)
    holder = models.CharField(max_length=80, blank=True, default="")
    epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    next_nonce = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["network", "address"], name="x402_relayer_one_row_per_key")
        ]

    def __str__(self) -> str:
        return f"{self.address} on {self.network}"


class TransactionState(models.TextChoices):
    STORED = "stored"
    BROADCAST = "broadcast"
    MINED = "mined"
    REPLACED = "replaced"
    DROPPED = "dropped"


class ChainTransaction(models.Model):
    """A signed transaction of the relayer. Units: fees in wei, gas in gas."""

    network = models.CharField(max_length=64)
    relayer = models.CharField(max_length=42)
    nonce = models.BigIntegerField()
    transaction_hash = models.CharField(max_length=66, unique=True)
    raw = models.BinaryField()
    state = models.CharField(max_length=12, choices=TransactionState.choices, default=TransactionState.STORED)
    gas_limit = models.BigIntegerField()
    max_fee_per_gas_wei = models.DecimalField(max_digits=40, decimal_places=0)
    max_priority_fee_per_gas_wei = models.DecimalField(max_digits=40, decimal_places=0)
    payment_count = models.IntegerField()
    block_number = models.BigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True, default="")
    gas_used = models.BigIntegerField(null=True)
    fee_wei = models.DecimalField(max_digits=40, decimal_places=0, null=True)
    succeeded = models.BooleanField(null=True)
    gas_booked = models.BooleanField(default=False, db_default=False)
    replaces = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="replacements")
    created_at = models.DateTimeField(auto_now_add=True)
    broadcast_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["network", "relayer", "nonce"],
                condition=models.Q(replaces__isnull=True),
                name="x402_transaction_nonce_once",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["network", "relayer", "nonce"],
                condition=models.Q(state__in=["stored", "broadcast"]),
                name="x402_transaction_pending",
            ),
            models.Index(
                fields=["state", "id"],
                condition=models.Q(state__in=["replaced", "dropped"]),
                name="x402_transaction_not_mined",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(state="mined", gas_booked=False),
                name="x402_transaction_gas_unbooked",
            ),
        ]

    def __str__(self) -> str:
        return self.transaction_hash


class SettlementAttempt(models.Model):
    """A payment that travelled in a transaction. A payment may have many attempts; at most one of them pays."""

    payment = models.ForeignKey("x402.Payment", on_delete=models.PROTECT, related_name="settlement_attempts")
    transaction = models.ForeignKey(ChainTransaction, on_delete=models.PROTECT, related_name="attempts")
    position = models.IntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "transaction"], name="x402_attempt_once_per_transaction")
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} in {self.transaction_id}"


class ConsumedLog(models.Model):
    """One Transfer log and its one beneficiary: a payment, a deposit or a refund (R3)."""

    network = models.CharField(max_length=64)
    transaction_hash = models.CharField(max_length=66)
    log_index = models.IntegerField()
    beneficiary = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["network", "transaction_hash", "log_index"], name="x402_log_consumed_once")
        ]

    def __str__(self) -> str:
        return f"{self.transaction_hash}#{self.log_index}"
