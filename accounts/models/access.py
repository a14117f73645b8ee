"""What is switched on, for how many, and which wallets were let in: rows, so that every process sees the same."""

from django.db import models

PERCENT = 100


class FeatureFlag(models.Model):
    """One switch. On means on for `percentage` of subjects and for all of `subjects`; a missing row means off."""

    name = models.CharField(max_length=40, primary_key=True)
    is_enabled = models.BooleanField(default=False)
    percentage = models.PositiveSmallIntegerField(default=PERCENT, help_text="Of wallets or accounts, 0 to 100.")
    subjects = models.JSONField(
        default=list, blank=True, help_text="Wallets or account ids for whom it is on whatever the percentage."
    )
    reason = models.CharField(max_length=500, blank=True)
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=models.Q(percentage__lte=PERCENT), name="accounts_flag_percentage"),
        )

    def __str__(self) -> str:
        return self.name


class AllowlistEntry(models.Model):
    """One wallet that was let in, by whom, why and until when. Whoever was taken off again is in the audit log."""

    address = models.CharField(max_length=42, unique=True)
    reason = models.CharField(max_length=500)
    added_by = models.CharField(max_length=150)
    added_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True, help_text="Empty: until it is removed.")

    class Meta:
        verbose_name = "allowlist entry"
        verbose_name_plural = "allowlist entries"
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=models.Q(address__regex=r"^0x[0-9a-f]{40}$"), name="accounts_allowed_hex"),
        )

    def __str__(self) -> str:
        return self.address
