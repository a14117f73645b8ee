"""The order of the line: friends, invitations, and the batches of staff (faults.md 76)."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent
from telemetry.identifiers import new_id
from tests.waitlist.conftest import links_in, new_address
from waitlist.models import Entry, InviteBatch, Mail
from waitlist.models.entry import EntryState
from waitlist.selectors.places import Place, place_of
from waitlist.services import invitations, retention
from waitlist.services.links import Purpose, token_for
from waitlist.tasks import work

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(count: int) -> list[Entry]:
    """Confirmed entries, an hour apart."""
    now = timezone.now() - timedelta(days=30)
    rows = []
    for number in range(count):
        address, moment = new_address(), now + timedelta(hours=number)
        rows.append(
            Entry(
                state=EntryState.WAITING, email=address, email_key=address, consent_version="1", consented_at=moment,
                confirmed_at=moment, rank_at=moment,
            )
        )  # fmt: skip
    return Entry.objects.bulk_create(rows)


def test_places_are_counted_from_the_front() -> None:
    line = waiting(5)

    assert [place_of(entry) for entry in line] == [Place(number, 5) for number in (1, 2, 3, 4, 5)]


def test_a_friend_who_confirms_moves_one_a_day_forward(client: Client, confirmed: Callable[..., Entry]) -> None:
    first, second = confirmed(), confirmed()
    assert place_of(second) == Place(2, 2)

    friend = confirmed(friend=second.referral_code)

    second.refresh_from_db()
    assert friend.referred_by_id == second.pk
    assert second.friends_confirmed == 1
    assert (place_of(second), place_of(first)) == (Place(1, 3), Place(2, 3))


def test_a_friend_who_never_confirms_moves_nobody(client: Client, confirmed: Callable[..., Entry]) -> None:
    from tests.waitlist.conftest import join

    entry = confirmed()
    join(client, new_address(), friend=entry.referral_code)
    work()

    entry.refresh_from_db()
    assert entry.friends_confirmed == 0


def test_an_invitation_goes_to_the_front_and_opens_once(client: Client) -> None:
    line = waiting(4)
    invitations.start_batch(new_id("inv"), wanted=2, staff="ada", reason="opening")
    work()

    states = [Entry.objects.get(pk=entry.pk).state for entry in line]
    assert states == ["invited", "invited", "waiting", "waiting"]
    assert [message.to for message in mail.outbox] == [[line[0].email], [line[1].email]]

    link = links_in(mail.outbox[0])["invitation"]
    assert client.get(link).status_code == 200
    assert [client.post(link).status_code for _ in range(2)] == [303, 410]
    assert Entry.objects.get(pk=line[0].pk).state == EntryState.ACCEPTED
    assert AuditEvent.objects.filter(action="waitlist.invited", actor="ada").exists()


def test_the_same_form_sent_twice_invites_once() -> None:
    waiting(10)
    batch_id = new_id("inv")

    answers = [invitations.start_batch(batch_id, wanted=3, staff="ada", reason="twice")[1] for _ in range(2)]
    work()
    work()

    assert answers == [True, False]
    assert Entry.objects.filter(state=EntryState.INVITED).count() == 3
    assert len(mail.outbox) == 3


def test_two_workers_fill_a_batch_together_and_invite_nobody_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "INVITED_IN_ONE_STEP", 5)
    waiting(60)
    invitations.start_batch(new_id("inv"), wanted=40, staff="ada", reason="race")

    def fill() -> None:
        invitations.fill_batches()
        connections.close_all()

    workers = [threading.Thread(target=fill) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    invitations.fill_batches()

    assert Entry.objects.filter(state=EntryState.INVITED).count() == 40
    assert Mail.objects.filter(kind=Mail.Kind.INVITE).count() == 40
    assert InviteBatch.objects.get().invited == 40


def test_a_batch_larger_than_the_line_ends_when_the_line_does() -> None:
    waiting(3)
    batch, _ = invitations.start_batch(new_id("inv"), wanted=100_000, staff="ada", reason="everybody")

    work()

    batch.refresh_from_db()
    assert batch.invited == 3
    assert batch.finished_at is not None


def test_what_is_past_its_time_is_forgotten_and_nothing_else(confirmed: Callable[..., Entry]) -> None:
    kept = confirmed()
    old = timezone.now() - timedelta(days=31)
    for state in ("pending", "left"):
        address = new_address()
        entry = Entry.objects.create(
            state=state, email=address, email_key=address, consent_version="1", consented_at=old, left_at=old
        )
        Entry.objects.filter(pk=entry.pk).update(created_at=old)
    Mail.objects.filter(state=Mail.State.SENT).update(created_at=old)

    forgotten = retention.forget_the_old()

    assert forgotten == {"unconfirmed": 1, "left": 1, "mails": 1, "requests": 0}
    assert list(Entry.objects.all()) == [kept]


def test_the_page_of_a_place_says_the_number_and_is_nobody_elses(
    client: Client, confirmed: Callable[..., Entry]
) -> None:
    entry = confirmed()

    page = client.get(f"/waitlist/place/{token_for(entry, Purpose.PLACE)}")

    assert '<span class="number">1</span>' in page.content.decode()
    assert page["Cache-Control"] == "private, no-store"
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["X-Robots-Tag"] == "noindex"
    assert "sessionid" not in page.cookies
    assert client.cookies == {}
