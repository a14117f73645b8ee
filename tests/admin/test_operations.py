"""The page of what runs now: it opens whatever is down, and says what waits and for how long."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from billing.services import dead_letters
from tests.factories import ledger, queues

pytestmark = pytest.mark.django_db(transaction=True)


def text_of(client: Client) -> str:
    answer = client.get(reverse("admin:operations"))
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


def test_it_shows_circuits_queues_their_oldest_and_the_fence(staff: Client):
    queues.empty()
    letter_id = dead_letters.enqueue(
        queue="finalize", subject_id=ledger.unique("ent"), reason="x", payload={"schema_version": 1}
    )
    ledger.rows(
        "UPDATE billing.dead_letter SET created_at = clock_timestamp() - interval '90 seconds' WHERE id = %s"
        " RETURNING id",
        letter_id,
    )

    text = text_of(staff)

    assert "dead letters: finalize" in text
    assert "1 waiting, 0 due, 0 poisoned, 0 parked" in text
    assert re.search(r"[ >](9\d|1[0-5]\d) s", text)  # a minute and a half, and however long the page took
    for word in ("settlement", "CLOSED", "stream billing:dlq", "Messages to workers", "stream 0"):
        assert word in text, word


def test_it_opens_without_redis(staff: Client, settings):
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}

    text = text_of(staff)

    assert "Redis does not answer." in text


def test_a_parked_letter_is_counted_and_never_tried(staff: Client):
    queues.empty()
    dead_letters.enqueue(queue="finalize", subject_id=ledger.unique("ent"), reason="x", payload={"schema_version": 9})
    ledger.rows("UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() WHERE state = 'pending' RETURNING id")

    assert dead_letters.due("finalize", owner="w") == []
    assert "1 waiting, 1 due, 0 poisoned, 1 parked" in text_of(staff)
