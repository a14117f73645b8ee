"""The one kind of row the site itself keeps: what browsers reported about the content security policy, grouped."""

from django.db import models


class PolicyReport(models.Model):
    """All reports of one directive, blocked address and page. Facts are bounded and escaped before they come here."""

    violated_directive = models.CharField(max_length=64)
    blocked_uri = models.CharField(max_length=512)
    document_uri = models.CharField(max_length=512)
    report_count = models.BigIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "policy report"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("violated_directive", "blocked_uri", "document_uri"), name="loa_site_policy_report_group"
            ),
        )
        indexes = (models.Index(fields=("last_seen_at", "id"), name="loa_site_policy_report_newest"),)

    def __str__(self) -> str:
        return f"{self.violated_directive} {self.blocked_uri}"
