"""What people did with the power they have. The database refuses to change or delete a row."""

from django.db import models


class AuditEvent(models.Model):
    """One act: who, what, on what, why. Written in the transaction of the act itself."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150, help_text="a staff user, an account or a command")
    action = models.CharField(max_length=80, db_index=True)
    subject = models.CharField(max_length=120, blank=True)
    reason = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    correlation_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "audit event"
        ordering = ("-id",)
        indexes = (models.Index(fields=("subject", "-id"), name="accounts_audit_of_subject"),)

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"
