"""The audit log only grows, and holds no secret."""

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import AuditEvent
from accounts.services import audit
from telemetry.correlation import correlated

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_act_is_written_down_with_its_reason_and_without_secrets() -> None:
    with correlated("quo_audit"):
        event = audit.record(
            "staff:ada", action="dead_letter.voided", subject="dlq_1", reason="paid twice", facts={"token": "x", "n": 1}
        )

    stored = AuditEvent.objects.get(pk=event.pk)
    assert (stored.actor, stored.action, stored.subject, stored.reason) == (
        "staff:ada",
        "dead_letter.voided",
        "dlq_1",
        "paid twice",
    )
    assert stored.facts == {"token": "[redacted]", "n": 1}
    assert stored.correlation_id == "quo_audit"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditevent SET reason = 'none'",
        "DELETE FROM accounts_auditevent",
        "TRUNCATE accounts_auditevent",
    ],
)
def test_the_database_refuses_to_change_the_log(statement: str) -> None:
    event = audit.record("staff:ada", action="test", reason="stays")

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEvent.objects.get(pk=event.pk).reason == "stays"
