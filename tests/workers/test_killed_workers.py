"""kill -9 between every two steps of tasks that have steps: one effect each, and nothing rests (faults.md 29, 30)."""

import signal
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing import tasks
from billing.models import WebhookDelivery
from billing.selectors.reports import conservation
from billing.services import finalize_stream, outbox, webhooks
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of, repair
from tests.factories import ledger, queues
from tests.factories.ledger import PaidCall
from tests.factories.receivers import receiver
from tests.workers.task_process import run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("payment_table"),
    pytest.mark.slow,
]


@pytest.fixture(autouse=True)
def _nothing_due() -> Iterator[None]:
    """No letter, event or endpoint of another test."""
    queues.empty()
    queues.nothing_to_tell()
    yield
    queues.empty()


def time_passes() -> None:
    """Leases of the killed end, and what it held may be claimed."""
    ledger.rows(
        "UPDATE billing.dead_letter SET lease_until = clock_timestamp(), next_retry_at = clock_timestamp()"
        " WHERE state = 'pending' RETURNING id"
    )
    WebhookDelivery.objects.filter(state="pending").update(lease_until=timezone.now(), next_try_at=timezone.now())


@pytest.mark.parametrize("point", ["drain_announced", "drain_leased", "drain_booked", "drain_resolved"])
def test_a_drain_that_is_killed_books_once_and_its_entry_ends_acknowledged(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = deferred()
    repair(call)

    assert run("billing.drain_finalize", crash_point=point) == -signal.SIGKILL
    assert finalize_stream.status().pending == 1
    time_passes()
    tasks.drain_finalize()

    assert letter_of(call).state == "done"
    assert ledger.kinds_of(call.entry_id).count("billing_commit") == 1
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
    assert conservation().is_conserved
    monkeypatch.setattr(finalize_stream, "CLAIM_IDLE_MS", 0)
    ended = finalize_stream.take(10)
    assert [entry.letter_id for entry in ended] in ([], [letter_of(call).id])
    finalize_stream.acknowledge(ended)
    assert finalize_stream.status().pending == 0
    call_command("ledger_verify")


@pytest.mark.parametrize("point", ["events_relayed", "events_addressed", "webhook_leased", "webhook_sent"])
def test_a_delivery_that_is_killed_reaches_its_endpoint_with_one_id(point: str, settings) -> None:
    with receiver() as stranger:
        settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [stranger.origin]}
        endpoint = webhooks.create_endpoint(stranger.url, event_types=["payment.settled"], description="", by="ada")
        call = PaidCall(amount=2_000).settle()
        trusted = {"LOA_OUTBOUND_TRUSTED_HOSTS": stranger.origin}

        assert run("billing.deliver_webhooks", crash_point=point, **trusted) == -signal.SIGKILL
        time_passes()
        tasks.deliver_webhooks()

        own = [message for message in stranger.received if call.payment_id.encode() in message.body]
        ids = [message.headers["webhook-id"] for message in own]
        # What was sent and not written down is sent again: at least once, and the receiver sees the repetition.
        assert len(ids) == (2 if point == "webhook_sent" else 1)
        assert len(set(ids)) == 1
    delivery = WebhookDelivery.objects.get(endpoint=endpoint, event_id=ids[0])
    assert delivery.state == "delivered"
    assert outbox.relay_journals() == 0
