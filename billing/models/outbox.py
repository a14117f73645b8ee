"""Events that others are told about, who wants to hear which, and what became of each telling."""

from django.db import models


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction in which it did. `key` makes a second writing harmless."""

    id = models.CharField(primary_key=True, max_length=40)
    type = models.CharField(max_length=60)
    key = models.CharField(max_length=200, unique=True)
    payload = models.JSONField()
    correlation_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    addressed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "event"
        indexes = (
            models.Index(fields=("created_at",), name="outbox_event_created"),
            models.Index(fields=("id",), condition=models.Q(addressed_at=None), name="outbox_event_unaddressed"),
        )

    def __str__(self) -> str:
        return self.id


class OutboxCursor(models.Model):
    """Up to which journal of a stream events were written."""

    stream = models.IntegerField(primary_key=True)
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"stream {self.stream} up to {self.sequence}"


class WebhookEndpoint(models.Model):
    """An address that is told about events. Its secret is computed from its id and version, never stored."""

    id = models.CharField(primary_key=True, max_length=40)
    url = models.URLField(max_length=500)
    description = models.CharField(max_length=200, blank=True)
    event_types = models.JSONField(help_text="which kinds of event it wants")
    is_active = models.BooleanField(default=True)
    secret_version = models.PositiveIntegerField(default=1)
    rotated_at = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "webhook endpoint"

    def __str__(self) -> str:
        return self.url


class DeliveryState(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(models.Model):
    """One event for one endpoint."""

    event = models.ForeignKey(OutboxEvent, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.PENDING)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    last_status = models.PositiveIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    delivered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        constraints = (models.UniqueConstraint(fields=("event", "endpoint"), name="webhook_delivery_once"),)
        indexes = (
            models.Index(fields=("next_try_at",), condition=models.Q(state="pending"), name="webhook_delivery_due"),
        )

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"
