"""From the form to the place and away again, as the browser journey does it, without a browser."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent
from tests.waitlist.conftest import join, links_in, new_address
from waitlist.models import Entry, Mail
from waitlist.models.entry import EntryState
from waitlist.services import answer_requests
from waitlist.services.links import Purpose, token_for
from waitlist.tasks import work

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_form_writes_one_row_and_everything_else_happens_later(client: Client) -> None:
    answer = join(client, new_address())

    assert (answer.status_code, answer["Location"]) == (303, "/waitlist/sent")
    assert Entry.objects.count() == 0
    assert mail.outbox == []


def test_a_confirmation_link_shows_on_get_and_works_once_on_post(client: Client) -> None:
    address = new_address()
    join(client, address)
    work()
    confirm = links_in(mail.outbox[0])["confirm"]

    assert client.get(confirm).status_code == 200
    assert client.head(confirm).status_code == 200
    assert Entry.objects.get(email=address).state == EntryState.PENDING

    first, second = client.post(confirm), client.post(confirm)

    assert (first.status_code, second.status_code) == (303, 410)
    assert Entry.objects.get(email=address).state == EntryState.WAITING
    assert client.get(first["Location"]).status_code == 200


def test_a_confirmation_link_dies_after_two_days(client: Client) -> None:
    join(client, new_address())
    work()
    confirm = links_in(mail.outbox[0])["confirm"]

    with time_machine.travel(timezone.now() + timedelta(hours=49)):
        assert client.post(confirm).status_code == 410
        assert client.get(confirm).status_code == 410


@pytest.mark.parametrize("damage", [lambda link: link[:-1], lambda link: link + "x", lambda link: link.upper()])
def test_a_forged_link_opens_nothing(client: Client, damage: Callable[[str], str]) -> None:
    join(client, new_address())
    work()

    token = links_in(mail.outbox[0])["confirm"].rpartition("/")[2]

    assert client.post(f"/waitlist/confirm/{damage(token)}").status_code == 410
    assert not Entry.objects.filter(state=EntryState.WAITING).exists()


def test_a_link_for_one_purpose_is_worthless_for_another(client: Client, confirmed: Callable[..., Entry]) -> None:
    entry = confirmed()

    assert client.post(f"/waitlist/place/{token_for(entry, Purpose.LEAVE)}/erase").status_code == 410
    assert client.get(f"/waitlist/place/{token_for(entry, Purpose.CONFIRM)}").status_code == 410
    assert Entry.objects.filter(pk=entry.pk).exists()


def test_every_mail_can_be_left_with_one_click(client: Client, confirmed: Callable[..., Entry]) -> None:
    entry = confirmed()
    work()
    headers = mail.outbox[-1].extra_headers
    address = headers["List-Unsubscribe"].strip("<>").partition("testserver")[2]

    answer = Client(enforce_csrf_checks=True).post(address, {"List-Unsubscribe": "One-Click"})

    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert answer.status_code == 200
    entry.refresh_from_db()
    assert (entry.state, entry.rank_at) == (EntryState.LEFT, None)
    assert client.post(address).status_code == 200


def test_a_reader_of_the_leave_page_has_not_left(client: Client, confirmed: Callable[..., Entry]) -> None:
    entry = confirmed()

    assert client.get(f"/waitlist/leave/{token_for(entry, Purpose.LEAVE)}").status_code == 200

    entry.refresh_from_db()
    assert entry.state == EntryState.WAITING


def test_an_export_holds_everything_and_an_erasure_leaves_nothing(
    client: Client, confirmed: Callable[..., Entry]
) -> None:
    entry = confirmed()
    place = f"/waitlist/place/{token_for(entry, Purpose.PLACE)}"

    exported = client.post(f"{place}/export")

    document = json.loads(exported.content)
    assert "attachment" in exported["Content-Disposition"]
    assert (document["email"], document["state"], document["consent_version"]) == (entry.email, "waiting", "2026-11")
    assert [one["kind"] for one in document["mails"]] == ["confirm", "welcome"]

    assert client.get(f"{place}/erase").status_code == 200
    assert client.post(f"{place}/erase").status_code == 200

    assert not Entry.objects.filter(pk=entry.pk).exists()
    assert not Mail.objects.filter(entry_id=entry.pk).exists()
    assert client.get(place).status_code == 410
    event = AuditEvent.objects.get(subject=entry.pk)
    assert (event.action, entry.email in json.dumps(event.facts)) == ("waitlist.erased", False)


def test_whoever_left_may_join_again_at_the_end(client: Client, confirmed: Callable[..., Entry]) -> None:
    entry = confirmed()
    client.post(f"/waitlist/leave/{token_for(entry, Purpose.LEAVE)}")

    with time_machine.travel(timezone.now() + answer_requests.COOL_DOWN * 2):
        join(client, entry.email)
        work()
        client.post(links_in(mail.outbox[-1])["confirm"])

    again = Entry.objects.get(pk=entry.pk)
    assert again.state == EntryState.WAITING
    assert again.confirmed_at > entry.confirmed_at


def test_no_second_mail_goes_out_within_the_cool_down(client: Client) -> None:
    address = new_address()
    for _ in range(3):
        join(client, address)
        work()
    assert len(mail.outbox) == 1

    with time_machine.travel(timezone.now() + answer_requests.COOL_DOWN):
        join(client, address)
        work()

    assert len(mail.outbox) == 2


def test_a_link_sent_again_is_only_sent_to_those_who_asked_to_join(client: Client) -> None:
    known, stranger = new_address(), new_address()
    join(client, known)
    work()

    with time_machine.travel(timezone.now() + answer_requests.COOL_DOWN):
        answers = [client.post("/waitlist/again", form) for form in (_again(known), _again(stranger))]
        work()

    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(303, "/waitlist/sent")}
    assert [message.to for message in mail.outbox] == [[known], [known]]


def _again(address: str) -> dict[str, str]:
    from tests.waitlist.conftest import old_seal

    return {"seal": old_seal(), "email": address, "website": ""}
