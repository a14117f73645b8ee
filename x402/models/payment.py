"""One payment is one row (decision 2).

Its replay key is (network, verifying contract, payer, nonce): inserting it is the replay guard (R18). Its state moves
only by guarded updates that name the state and the attempt they come from (R6), and a trigger refuses every move that
is not in `sql/payment_state.sql`. Credit notes pay through the same row: the verifying contract is then the word
`credit_notes` and the nonce the hash of the spender's key. An API key pays through it too: network `prepaid`, contract
`api_key`, payer `key:` and the key's family; `credit_applied_micro_usdc` is then MicroUSD of the prepaid balance.
"""

from typing import ClassVar

from django.db import models


class PaymentState(models.TextChoices):
    VERIFIED = "verified"
    SETTLING = "settling"
    SETTLEMENT_UNKNOWN = "settlement_unknown"
    SETTLED = "settled"
    SERVING = "serving"
    SERVED = "served"
    CREDITED = "credited"
    REFUNDED = "refunded"
    DEAD = "dead"


FINAL_STATES = frozenset({PaymentState.SERVED, PaymentState.CREDITED, PaymentState.REFUNDED, PaymentState.DEAD})


class Method(models.TextChoices):
    EIP3009 = "eip3009", "EIP-3009 authorization"
    PERMIT2 = "permit2", "Permit2 witness transfer"
    CREDIT_NOTES = "credit_notes", "Credit notes"
    API_KEY = "api_key", "Prepaid balance, by API key"


ON_CHAIN = frozenset({Method.EIP3009, Method.PERMIT2})


class SettleOrder(models.TextChoices):
    """When the money moves: before the work, after it and before its answer, or later in a batch."""

    BEFORE = "before"
    AFTER = "after"
    DEFERRED = "deferred"


class WorkState(models.TextChoices):
    """How far the work of a payment is that settles after it; empty for one that settles before."""

    NONE = "", "Not begun"
    RUNNING = "running"
    DONE = "done"  # the actual cost is stored and the answer is not released
    ANSWERED = "answered"  # released before its settlement, and owed (`deferred` only)
    FAILED = "failed"  # nothing will be settled


class Payment(models.Model):
    """Units: `*_micro_usdc` are millionths of a USDC. Times of the authorization are chain seconds.

    `amount_micro_usdc` is the most the payer signed for; `actual_micro_usdc` what is settled of it, stored once, before
    anything is signed (R2), and null while the whole amount is or the work has not said. `exposure_micro_usdc` is what
    this payment takes of the deferred limits. `spendable_*` is what the payer could spend, and the block that said so.
    `payer_has_code`: seen after the verification, or suspected since a batch failed around it; it travels alone (R26).
    `minted_micro_usd` is prepaid credit that this payment buys for its account, under the buyer's `purchase_key`.
    """

    id = models.CharField(primary_key=True, max_length=40)
    state = models.CharField(max_length=20, choices=PaymentState.choices, default=PaymentState.VERIFIED)
    attempt = models.IntegerField(default=1)
    lease_until = models.DateTimeField(null=True)

    method = models.CharField(max_length=16, choices=Method.choices, default=Method.EIP3009)
    scheme = models.CharField(max_length=16, default="exact")
    protocol_version = models.SmallIntegerField(default=2)
    network = models.CharField(max_length=64)
    verifying_contract = models.CharField(max_length=42)
    payer = models.CharField(max_length=42)
    nonce = models.CharField(max_length=66)
    asset = models.CharField(max_length=42)
    pay_to = models.CharField(max_length=42)
    amount_micro_usdc = models.BigIntegerField()
    credit_applied_micro_usdc = models.BigIntegerField(default=0)
    credit_held = models.BooleanField(default=False)
    valid_after = models.BigIntegerField(default=0)
    valid_before = models.BigIntegerField(default=0)
    signature = models.BinaryField(default=b"")
    payer_has_code = models.BooleanField(default=False)
    facilitator = models.CharField(max_length=42, blank=True, default="", db_default="")
    spendable_micro_usdc = models.BigIntegerField(null=True)
    spendable_block = models.BigIntegerField(null=True)

    settle_order = models.CharField(
        max_length=8, choices=SettleOrder.choices, default=SettleOrder.BEFORE, db_default=SettleOrder.BEFORE
    )
    work = models.CharField(
        max_length=8, choices=WorkState.choices, blank=True, default=WorkState.NONE, db_default=WorkState.NONE
    )
    actual_micro_usdc = models.BigIntegerField(null=True)
    exposure_micro_usdc = models.BigIntegerField(default=0, db_default=0)

    request_hash = models.CharField(max_length=64)
    request_method = models.CharField(max_length=8)
    request_path = models.CharField(max_length=512)
    quote_id = models.CharField(max_length=40, blank=True, default="")
    quote_token_hash = models.CharField(max_length=64, blank=True, default="")
    price_version = models.IntegerField(default=0)
    idempotency_key_hash = models.CharField(max_length=64, blank=True, default="")
    correlation_id = models.CharField(max_length=64)
    trace_context = models.CharField(max_length=64, blank=True, default="")
    account_id = models.CharField(max_length=40)
    minted_micro_usd = models.BigIntegerField(default=0, db_default=0)
    purchase_key = models.CharField(max_length=64, blank=True, default="", db_default="")
    entry_id = models.CharField(max_length=40, unique=True)
    on_crash = models.CharField(max_length=8, default="credit")

    transaction_hash = models.CharField(max_length=66, blank=True, default="")
    block_hash = models.CharField(max_length=66, blank=True, default="")
    block_number = models.BigIntegerField(null=True)
    log_index = models.IntegerField(null=True)
    first_broadcast_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    charged_micro_usdc = models.BigIntegerField(null=True)
    overrun_micro_usdc = models.BigIntegerField(default=0)
    failure_code = models.CharField(max_length=64, blank=True, default="")
    failure_status = models.SmallIntegerField(null=True)
    served_at = models.DateTimeField(null=True)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["network", "verifying_contract", "payer", "nonce"], name="x402_payment_replay_key"
            ),
            models.CheckConstraint(
                condition=models.Q(amount_micro_usdc__gte=0) & models.Q(credit_applied_micro_usdc__gte=0),
                name="x402_payment_amounts_not_negative",
            ),
            models.CheckConstraint(condition=models.Q(state__in=PaymentState.values), name="x402_payment_state_known"),
            models.UniqueConstraint(
                fields=["purchase_key"],
                condition=~models.Q(purchase_key="") & ~models.Q(state="dead"),
                name="x402_payment_purchase_once",
            ),
            models.UniqueConstraint(
                fields=["payer", "request_hash"],
                condition=models.Q(
                    method=Method.API_KEY,
                    idempotency_key_hash="",
                    state__in=["verified", "settled", "serving"],
                ),
                name="x402_payment_one_at_a_time",
            ),
            models.CheckConstraint(condition=models.Q(attempt__gte=1), name="x402_payment_attempt_positive"),
            models.CheckConstraint(
                condition=models.Q(actual_micro_usdc__isnull=True)
                | models.Q(actual_micro_usdc__gte=0, actual_micro_usdc__lte=models.F("amount_micro_usdc")),
                name="x402_payment_actual_within_signed",
            ),
            models.CheckConstraint(
                condition=models.Q(exposure_micro_usdc__gte=0)
                & models.Q(exposure_micro_usdc__lte=models.F("amount_micro_usdc")),
                name="x402_payment_exposure_within_signed",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["created_at"],
                condition=models.Q(
                    state__in=["verified", "settling", "settlement_unknown", "settled", "serving"],
                ),
                name="x402_payment_open",
            ),
            models.Index(fields=["payer", "-created_at"], name="x402_payment_by_payer"),
            models.Index(
                fields=["payer"],
                condition=models.Q(state__in=["verified", "settling", "settlement_unknown"]),
                name="x402_payment_outstanding",
            ),
            models.Index(
                fields=["payer", "-block_number"],
                condition=models.Q(block_number__isnull=False),
                name="x402_payment_by_payer_block",
            ),
            models.Index(
                fields=["network", "block_number"],
                condition=models.Q(exposure_micro_usdc__gt=0),
                name="x402_payment_exposed",
            ),
            models.Index(fields=["account_id", "-created_at", "-id"], name="x402_payment_of_account"),
            models.Index(fields=["-created_at"], name="x402_payment_newest"),
            models.Index(fields=["transaction_hash"], name="x402_payment_by_transaction"),
            models.Index(fields=["correlation_id"], name="x402_payment_by_correlation"),
            models.Index(
                fields=["state", "created_at", "id"],
                condition=models.Q(state__in=["credited", "refunded", "dead"]),
                name="x402_payment_unserved_ends",
            ),
            models.Index(
                fields=["created_at", "id"], condition=models.Q(method="credit_notes"), name="x402_payment_by_credit"
            ),
            models.Index(
                fields=["method", "created_at", "id"],
                condition=models.Q(method__in=["permit2", "api_key"]),
                name="x402_payment_by_rare_method",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.state})"

    @property
    def held_micro_usdc(self) -> int:
        """What is held for this call once it is settled: money from the chain plus the credit applied to it."""
        return self.due_micro_usdc + self.credit_applied_micro_usdc

    @property
    def due_micro_usdc(self) -> int:
        """What the chain is to move: the actual cost where the payer signed a maximum, else the whole amount."""
        return self.amount_micro_usdc if self.actual_micro_usdc is None else self.actual_micro_usdc

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def is_decided(self) -> bool:
        """Whether what a request gets for this payment is known: it is final, answered on credit, or failed unpaid."""
        return self.is_final or self.work == WorkState.ANSWERED or self.has_failed_unpaid

    @property
    def is_answered_on_credit(self) -> bool:
        """Whether its answer left before its money came; whoever paid may have it again, whatever became of that."""
        return self.work == WorkState.ANSWERED

    @property
    def has_failed_unpaid(self) -> bool:
        """Whether its work failed before anything was settled, so that nothing was and nothing will be taken."""
        return self.work == WorkState.FAILED and self.state == PaymentState.VERIFIED
