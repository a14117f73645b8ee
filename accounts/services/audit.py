"""Writing down what someone with power did, in the transaction in which it is done."""

from collections.abc import Mapping

from accounts.models import AuditEvent
from telemetry.correlation import correlation_id
from telemetry.logging import redacted


def record(
    actor: str, *, action: str, subject: str = "", reason: str = "", facts: Mapping[str, object] | None = None
) -> AuditEvent:
    """Add one event; facts pass the same redaction as log lines. Nothing can change or delete it afterwards."""
    return AuditEvent.objects.create(
        actor=actor,
        action=action,
        subject=subject,
        reason=reason,
        facts=redacted(facts or {}),
        correlation_id=correlation_id(),
    )
