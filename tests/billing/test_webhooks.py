"""Webhooks as receivers see them: signed, repeated until taken, stopped when unwanted, sent again on request."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.domain.errors import WrongState
from billing.domain.webhook_events import TRIES_MAX, EventType, delay_after
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services import outbox, webhooks
from billing.services.webhooks import DeliveryReport
from outbound.webhooks import is_authentic
from tests.factories import ledger
from tests.factories.receivers import Receiver, receiver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _alone() -> None:
    """No endpoint of another test hears what this one tells."""
    WebhookEndpoint.objects.update(is_active=False)
    ledger.rows("UPDATE billing_outboxevent SET addressed_at = clock_timestamp() RETURNING id")


@pytest.fixture
def stranger(settings) -> Iterator[Receiver]:
    with receiver() as running:
        settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [running.origin]}
        yield running


def endpoint_of(stranger: Receiver, *, types: tuple[str, ...] = ("key.low_balance",)) -> WebhookEndpoint:
    return webhooks.create_endpoint(stranger.url, event_types=types, description="books", by="ada")


def tell(event_type: EventType = EventType.KEY_LOW_BALANCE) -> str:
    key = ledger.unique("told")
    outbox.publish(event_type, {"account_id": key}, key=key)
    webhooks.address_events()
    return key


def make_due() -> None:
    WebhookDelivery.objects.filter(state="pending").update(next_try_at=timezone.now() - timedelta(seconds=1))


def test_an_endpoint_hears_what_it_asked_for_signed_so_that_it_can_be_sure(stranger: Receiver) -> None:
    endpoint = endpoint_of(stranger)
    key = tell()
    tell(EventType.DEAD_LETTER_POISONED)

    assert webhooks.deliver_due() == DeliveryReport(delivered=1)

    [message] = stranger.received
    assert is_authentic(message.headers, message.body, secret=webhooks.secret_of(endpoint), now=int(time.time()))
    told = json.loads(message.body)
    assert (told["type"], told["data"]) == ("key.low_balance", {"account_id": key})
    assert webhooks.deliver_due() == DeliveryReport()


def test_a_failed_delivery_is_tried_again_later_with_the_same_id_and_never_forgotten(stranger: Receiver) -> None:
    stranger.answers[:] = [500, 200]
    endpoint_of(stranger)
    tell()

    assert webhooks.deliver_due() == DeliveryReport(retried=1)
    delivery = WebhookDelivery.objects.latest("id")
    assert (delivery.state, delivery.tries, delivery.last_status) == ("pending", 1, 500)
    assert timedelta(seconds=3) < delivery.next_try_at - timezone.now() < timedelta(seconds=6.1)
    make_due()
    assert webhooks.deliver_due() == DeliveryReport(delivered=1)

    assert len({message.headers["webhook-id"] for message in stranger.received}) == 1
    assert len(stranger.received) == 2


def test_after_the_last_try_it_has_failed_and_a_person_sends_it_again(stranger: Receiver) -> None:
    stranger.answers[:] = [500]
    endpoint_of(stranger)
    tell()
    for _ in range(TRIES_MAX):
        make_due()
        webhooks.deliver_due()
    delivery = WebhookDelivery.objects.latest("id")
    assert (delivery.state, delivery.tries) == ("failed", TRIES_MAX)
    stranger.answers[:] = [204]

    webhooks.replay(delivery.pk)

    assert webhooks.deliver_due() == DeliveryReport(delivered=1)
    with pytest.raises(WrongState):
        webhooks.replay(-1)


def test_an_endpoint_that_is_gone_is_told_nothing_more(stranger: Receiver) -> None:
    stranger.answers[:] = [410]
    endpoint = endpoint_of(stranger)
    tell()

    assert webhooks.deliver_due() == DeliveryReport(failed=1)

    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.disabled_reason) == (False, "The receiver answered 410 Gone.")
    tell()
    assert webhooks.deliver_due() == DeliveryReport()


def test_an_endpoint_in_trouble_does_not_keep_the_others_waiting(stranger: Receiver) -> None:
    down = webhooks.create_endpoint(
        "https://127.0.0.1:1/hook", event_types=["key.low_balance"], description="", by="ada"
    )
    endpoint_of(stranger)
    for _ in range(5):
        tell()

    report = webhooks.deliver_due()

    assert report == DeliveryReport(delivered=5, retried=1)
    assert sorted(WebhookDelivery.objects.filter(endpoint=down).values_list("tries", flat=True)) == [0, 0, 0, 0, 1]


def test_while_a_secret_is_replaced_both_signatures_are_sent_for_a_day(stranger: Receiver) -> None:
    endpoint = endpoint_of(stranger)
    former = webhooks.secret_of(endpoint)
    endpoint = webhooks.rotate_secret(endpoint.pk)
    tell()
    webhooks.deliver_due()
    WebhookEndpoint.objects.update(rotated_at=timezone.now() - timedelta(hours=25))
    tell()
    webhooks.deliver_due()

    now, accepted = int(time.time()), []
    for message in stranger.received:
        accepted.append(
            [
                is_authentic(message.headers, message.body, secret=one, now=now)
                for one in (former, webhooks.secret_of(endpoint))
            ]
        )
    assert accepted == [[True, True], [False, True]]


def test_the_delays_grow_and_end() -> None:
    from fractions import Fraction

    delays = [delay_after(tries, spread=Fraction(1, 2)) for tries in range(1, TRIES_MAX + 1)]

    assert delays[-1] is None
    seconds = [delay.total_seconds() for delay in delays[:-1]]
    assert seconds == sorted(seconds)
    assert sum(seconds) > 36 * 3600
