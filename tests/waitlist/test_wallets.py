"""Joining with a signed message, with a browser's wallet or by pasting."""

import pytest
from django.test import Client
from eth_account import Account as Key
from eth_account.messages import encode_defunct

from tests.waitlist.conftest import old_seal
from waitlist.models import Entry
from waitlist.models.entry import EntryState

pytestmark = pytest.mark.django_db(transaction=True)


def message_for(client: Client, wallet: str) -> str:
    """The text the page asks to be signed."""
    page = client.post("/waitlist/wallet", {"seal": old_seal(), "wallet": wallet, "consent": "yes"})
    assert page.status_code == 200
    return str(page.context["message"])


def sign_and_send(client: Client, key: object, text: str, **more: str):
    signature = key.sign_message(encode_defunct(text=text)).signature.hex()
    form = {"seal": old_seal(), "message": text.replace("\n", "\r\n"), "signature": "0x" + signature, "consent": "yes"}
    return client.post("/waitlist/wallet", form | more)


def test_a_signature_gives_a_place_at_once(client: Client) -> None:
    key = Key.create()

    answer = sign_and_send(client, key, message_for(client, key.address))

    assert answer.status_code == 303
    entry = Entry.objects.get(wallet=key.address.lower())
    assert (entry.state, entry.email, entry.email_key) == (EntryState.WAITING, "", None)
    assert client.get(answer["Location"]).status_code == 200


def test_a_signature_serves_once_and_a_new_one_shows_the_same_place(client: Client) -> None:
    key = Key.create()
    text = message_for(client, key.address)
    sign_and_send(client, key, text)

    assert sign_and_send(client, key, text).status_code == 422
    assert sign_and_send(client, key, message_for(client, key.address)).status_code == 303
    assert Entry.objects.count() == 1


@pytest.mark.parametrize(
    "change", [("waitlist with", "admin with"), ("Chain ID: ", "Chain ID: 9"), ("URI: http", "URI: ftp")]
)
def test_another_message_proves_nothing(client: Client, change: tuple[str, str]) -> None:
    key = Key.create()
    text = message_for(client, key.address).replace(*change)

    answer = sign_and_send(client, key, text)

    # The statement is for people; site, chain, moment and nonce are what binds.
    assert answer.status_code == (303 if change[0] == "waitlist with" else 422)


def test_somebody_elses_signature_proves_nothing(client: Client) -> None:
    text = message_for(client, Key.create().address)

    assert sign_and_send(client, Key.create(), text).status_code == 422
    assert Entry.objects.count() == 0


def test_a_message_for_signing_in_does_not_join_the_list(client: Client) -> None:
    from accounts.services.sign_in_expectations import site_expectation
    from accounts.services.sign_in_texts import sign_in_text

    key = Key.create()
    text = sign_in_text(key.address, expected=site_expectation(), statement="Sign in.")

    assert sign_and_send(client, key, text).status_code == 422


@pytest.mark.parametrize("wallet", ["", "0x12", "nonsense", "0x" + "g" * 40, "0x" + "1" * 41])
def test_what_is_no_wallet_is_named(client: Client, wallet: str) -> None:
    page = client.post("/waitlist/wallet", {"seal": old_seal(), "wallet": wallet, "consent": "yes"})

    assert page.status_code == 422
