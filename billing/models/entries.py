"""Billing entries: the life of one piece of work, and the hold on the money for it."""

from django.db import models


class BillingEntry(models.Model):
    """See billing/domain/lifecycle.py for what the states mean."""

    id = models.TextField(primary_key=True)
    state = models.TextField()
    account_id = models.TextField()
    wallet = models.TextField()
    denomination = models.TextField()
    funding = models.TextField()
    held_amount = models.BigIntegerField()
    cost_amount = models.BigIntegerField(null=True)
    revenue_remaining = models.BigIntegerField()
    payment_id = models.TextField()
    correlation_id = models.TextField()
    reason = models.TextField()
    spend_key = models.TextField(null=True)
    expires_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"billing"."billing_entry"'
        verbose_name_plural = "billing entries"

    def __str__(self) -> str:
        return self.id
