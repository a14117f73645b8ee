"""What the waitlist's tests share: a form that was open long enough, a list of one's own, and a mailbox."""

import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from waitlist.models import Entry, InviteBatch, JoinRequest, Mail
from waitlist.pages.form_seal import new_seal
from waitlist.tasks import work


@pytest.fixture(autouse=True)
def _an_empty_list(db: None) -> None:
    """Rows of the waitlist are nobody's money: each test begins without any."""
    for model in (JoinRequest, Mail, Entry, InviteBatch):
        model.objects.all().delete()
    mail.outbox = []


def old_seal() -> str:
    """The seal of a form that was opened a minute ago."""
    with time_machine.travel(timezone.now() - timedelta(minutes=1), tick=False):
        return new_seal()


def new_address() -> str:
    """An address nobody used before."""
    return f"ada.{secrets.token_hex(6)}@example.com"


def join(client: Client, address: str, **more: str) -> HttpResponse:
    """Send the join form as a person would."""
    form = {"seal": old_seal(), "email": address, "consent": "yes", "website": "", "friend": ""}
    return client.post("/waitlist/", form | more)


def links_in(message: Any) -> dict[str, str]:
    """The paths of the links in a mail by what they are for."""
    return {found[1]: found[0] for found in re.findall(r"(/waitlist/(\w+)/[\w:.=-]+)", message.body)}


@pytest.fixture
def confirmed(client: Client) -> Callable[..., Entry]:
    """Puts an address on the list by its mail; gives the entry."""

    def put(address: str = "", **more: str) -> Entry:
        address = address or new_address()
        join(client, address, **more)
        work()
        client.post(links_in(mail.outbox[-1])["confirm"])
        return Entry.objects.get(email=address)

    return put
