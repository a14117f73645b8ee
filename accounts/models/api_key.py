"""API keys: what an account's programs show to spend its prepaid balance. A key is stored as its HMAC only.

A key that is rotated keeps its family: the replacement counts against the same daily cap and knows the same requests.
"""

from django.db import models

from accounts.models.account import Account
from telemetry.identifiers import ID_LENGTH_MAX, new_id


def new_key_id() -> str:
    """A fresh `key_…` id. It names the key everywhere; the secret never does."""
    return new_id("key")


class ApiKey(models.Model):
    """One secret. Units: `*_micro_usd` are millionths of a US dollar."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_key_id, editable=False)
    family = models.CharField(max_length=ID_LENGTH_MAX, db_index=True, help_text="id of the key it was rotated from")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=80, blank=True, help_text="what its owner calls it")
    hint = models.CharField(max_length=16, help_text="kind and last four characters, to tell keys apart")
    key_hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    limit_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="empty: the site's figure")
    daily_cap_micro_usd = models.BigIntegerField(null=True, blank=True, help_text="empty: no cap")
    created_by = models.CharField(max_length=42, help_text="the wallet that was signed in")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="to the hour")

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering = ("-id",)
        indexes = (models.Index(fields=("account", "-id"), name="accounts_key_of_account"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(daily_cap_micro_usd=None) | models.Q(daily_cap_micro_usd__gt=0),
                name="accounts_key_cap_positive",
            ),
        )

    def __str__(self) -> str:
        return self.id


class ApiKeyUse(models.Model):
    """What a family of keys has spent or holds on one UTC day. Units: MicroUSD.

    One row that is locked when it grows, so that a cap holds whatever runs at once (rules R27, R34).
    """

    family = models.CharField(max_length=ID_LENGTH_MAX)
    day = models.DateField(db_index=True)
    amount_micro_usd = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "API key use"
        constraints = (
            models.UniqueConstraint(fields=("family", "day"), name="accounts_key_use_once_a_day"),
            models.CheckConstraint(condition=models.Q(amount_micro_usd__gte=0), name="accounts_key_use_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.family} on {self.day}"
