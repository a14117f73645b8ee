"""Mail: what it says, that the provider may be away, and that nothing is lost or sent to those who left."""

from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPServerDisconnected

import pytest
import time_machine
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.waitlist.conftest import join, links_in, new_address, old_seal
from waitlist.domain.retries import TRIES_MAX
from waitlist.models import Entry, Mail
from waitlist.services.links import Purpose, token_for
from waitlist.services.mails import deliver_mails
from waitlist.tasks import work

pytestmark = pytest.mark.django_db(transaction=True)

AWAY = "tests.waitlist.test_mail.ProviderThatIsAway"


class ProviderThatIsAway(BaseEmailBackend):
    """A mail provider that hangs up."""

    def send_messages(self, email_messages: object) -> int:
        raise SMTPServerDisconnected("Connection unexpectedly closed")


def test_a_provider_that_is_away_loses_nothing_and_is_admitted(client: Client, settings: Settings) -> None:
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, AWAY
    for _ in range(5):
        join(client, new_address())
    work()

    tries = sorted(Mail.objects.values_list("tries", flat=True))
    assert tries == [0, 0, 1, 1, 1]  # three in a row, then the worker leaves the provider alone
    assert set(Mail.objects.exclude(tries=0).values_list("last_error", flat=True)) == {"SMTPServerDisconnected"}
    assert b"slow at the moment" not in client.get("/waitlist/sent").content

    with time_machine.travel(timezone.now() + timedelta(minutes=10)):
        assert b"slow at the moment" in client.get("/waitlist/sent").content
        settings.EMAIL_BACKEND = working
        assert deliver_mails() == 5
        assert b"slow at the moment" not in client.get("/waitlist/sent").content

    assert len(mail.outbox) == 5
    assert set(Mail.objects.values_list("state", flat=True)) == {Mail.State.SENT}


def test_a_mail_nobody_takes_for_a_day_is_given_up_and_shown_to_staff(client: Client, settings: Settings) -> None:
    settings.EMAIL_BACKEND = AWAY
    join(client, new_address())
    work()
    Mail.objects.update(tries=TRIES_MAX - 1, due_at=timezone.now())

    deliver_mails()

    row = Mail.objects.get()
    assert (row.state, row.tries) == (Mail.State.GIVEN_UP, TRIES_MAX)


def test_a_worker_that_died_while_sending_is_replaced_after_the_lease(client: Client) -> None:
    join(client, new_address())
    work()
    mail.outbox.clear()
    Mail.objects.update(state=Mail.State.QUEUED, due_at=timezone.now() + timedelta(minutes=5))

    assert deliver_mails() == 0
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert deliver_mails() == 1


def test_whoever_left_gets_no_mail_that_was_still_queued(client: Client, confirmed: Callable[..., Entry]) -> None:
    entry = confirmed()
    client.post(f"/waitlist/leave/{token_for(entry, Purpose.LEAVE)}")
    mail.outbox.clear()

    work()

    assert mail.outbox == []
    assert Mail.objects.filter(entry=entry, state=Mail.State.DROPPED).count() == 1


def test_a_mail_is_plain_text_and_html_without_pictures_or_foreign_hosts(client: Client) -> None:
    join(client, new_address())
    work()

    message = mail.outbox[0]
    html = message.alternatives[0][0]
    assert message.alternatives[0][1] == "text/html"
    assert message.subject == "Please confirm your place in the line"
    assert "<img" not in html
    assert "style=" not in html
    assert all(address.startswith("http://testserver/") for address in _addresses(html))
    assert (message.track_clicks, message.track_opens) == (False, False)
    assert links_in(message).keys() == {"confirm", "place", "leave"}


def _addresses(html: str) -> list[str]:
    import re

    return re.findall(r'(?:href|src)="([^"]+)"', html)


def test_a_german_visitor_reads_and_is_written_to_in_german(client: Client) -> None:
    form = {"seal": old_seal(), "email": new_address(), "consent": "yes"}
    page = client.get("/waitlist/", headers={"Accept-Language": "de-AT,de;q=0.9"})

    client.post("/waitlist/", form, headers={"Accept-Language": "de-AT,de;q=0.9"})
    work()

    assert '<html lang="de">' in page.content.decode()
    assert "Warteliste" in page.content.decode()
    assert mail.outbox[0].subject == "Bitte bestätigen Sie Ihren Platz in der Schlange"
