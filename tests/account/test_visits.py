"""The payer's own page: who gets in, what they see and can do, and that nobody sees another's (faults.md 64, 67)."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from eth_account import Account as Key
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from accounts.models import ApiKey, Session
from accounts.services import sessions
from tests.admin.books import write_book
from x402.models import Payment

pytestmark = pytest.mark.django_db(transaction=True)

COOKIE = "loa_account"


def sign_in(client: Client, key: LocalAccount) -> Any:
    """Sign in as a person without a wallet in the browser: ask for the message, sign it elsewhere, paste."""
    text = client.post("/account/message", {"wallet": key.address}).context["message"]
    signature = "0x" + key.sign_message(encode_defunct(text=text)).signature.hex()
    return client.post("/account/sign-in", {"message": text.replace("\n", "\r\n"), "signature": signature})


@pytest.fixture
def key() -> LocalAccount:
    """A wallet nobody has seen."""
    return Key.create()


@pytest.fixture
def visit(client: Client, key: LocalAccount) -> Client:
    """A browser in which that wallet is signed in."""
    assert sign_in(client, key).status_code == 303
    return client


def test_a_signature_opens_the_page_and_its_cookie_is_for_these_pages_only(visit: Client, key: LocalAccount) -> None:
    cookie = visit.cookies[COOKIE]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/account/")
    page = visit.get("/account/")
    assert key.address.lower() in page.content.decode()
    assert page["Cache-Control"] == "private, no-store"
    assert page["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"


def test_a_stranger_is_shown_the_way_in_and_nothing_else(client: Client) -> None:
    assert "Your payments, your change, your keys" in client.get("/account/").content.decode()
    for path in ("payments", "payments/pay_x", "statements/2026-11"):
        assert client.get(f"/account/{path}")["Location"] == "/account/"
    for path in ("refund", "keys", "keys/key_x/revoke"):
        assert client.post(f"/account/{path}")["Location"] == "/account/"


def test_a_message_serves_once(client: Client, key: LocalAccount) -> None:
    text = client.post("/account/message", {"wallet": key.address}).context["message"]
    form = {"message": text, "signature": "0x" + key.sign_message(encode_defunct(text=text)).signature.hex()}

    assert [client.post("/account/sign-in", form).status_code for _ in range(2)] == [303, 422]


def test_a_planted_cookie_is_replaced_by_the_sign_in(client: Client, key: LocalAccount) -> None:
    client.cookies[COOKIE] = "rt_planted"

    sign_in(client, key)

    assert client.cookies[COOKIE].value != "rt_planted"


def test_signing_out_ends_the_session_itself(visit: Client, key: LocalAccount) -> None:
    stolen = visit.cookies[COOKIE].value

    assert visit.post("/account/sign-out").status_code == 303

    thief = Client()
    thief.cookies[COOKIE] = stolen
    assert "Your payments, your change" in thief.get("/account/").content.decode()
    assert not Session.objects.filter(wallet=key.address.lower(), revoked_at=None).exists()


def test_a_session_that_staff_revoked_ends_the_visit(visit: Client, key: LocalAccount) -> None:
    sessions.revoke_account(Session.objects.get(wallet=key.address.lower()).account_id)

    assert "Your payments, your change" in visit.get("/account/").content.decode()


def test_forms_of_other_sites_do_nothing(key: LocalAccount) -> None:
    browser = Client(enforce_csrf_checks=True)

    for path in ("message", "sign-in", "sign-out", "refund", "keys"):
        assert browser.post(f"/account/{path}").status_code == 403


def as_payer(payment: Payment) -> Client:
    """A browser in which the payment's payer is signed in."""
    from accounts.services.account_of_wallet import account_id_of_wallet

    pair = sessions._begin(payment.payer, account_id_of_wallet(payment.payer), family=None)
    client = Client()
    client.cookies[COOKIE] = pair.refresh_token
    return client


def test_a_payer_sees_payments_receipts_and_statements() -> None:
    payment = write_book(cost=900).payment
    payer = as_payer(payment)

    page = payer.get("/account/").content.decode()
    receipt = payer.get(f"/account/payments/{payment.pk}").content.decode()
    month = f"{Payment.objects.get(pk=payment.pk).settled_at or timezone.now():%Y-%m}"
    statement = payer.get(f"/account/statements/{month}").content.decode()

    assert payment.pk[:12] in page
    assert payment.pk in receipt
    assert "0.000900" in receipt
    assert payment.pk in statement
    assert payer.get("/account/payments").status_code == 200


def test_another_payers_pages_are_not_found(visit: Client) -> None:
    payment = write_book(cost=900).payment

    assert visit.get(f"/account/payments/{payment.pk}").status_code == 404
    assert visit.get("/account/payments/pay_nothing").status_code == 404
    assert payment.pk not in visit.get("/account/payments").content.decode()


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "26-01", "2026-1", "2026-11-01", "nonsense"])
def test_a_month_that_is_none_is_not_found(visit: Client, month: str) -> None:
    assert visit.get(f"/account/statements/{month}").status_code == 404


def test_a_december_has_a_statement(visit: Client) -> None:
    assert visit.get("/account/statements/2026-12").status_code == 200


@pytest.mark.parametrize("cursor", ["x", "%00", "AAAA", "eyJ"])
def test_a_cursor_that_is_none_is_not_found(visit: Client, cursor: str) -> None:
    assert visit.get(f"/account/payments?cursor={cursor}").status_code == 404


def test_a_key_is_shown_once_and_ended_at_once(visit: Client) -> None:
    made = visit.post("/account/keys", {"name": "  laptop\n "})

    secret = re.search(r"dk_test_[\w-]{43}", made.content.decode())
    assert secret is not None
    row = ApiKey.objects.get(hint=f"dk_test_…{secret[0][-4:]}", name="laptop")
    assert secret[0] not in visit.get("/account/").content.decode()

    visit.post(f"/account/keys/{row.pk}/revoke")

    row.refresh_from_db()
    assert row.revoked_at is not None


def test_another_accounts_key_cannot_be_ended(visit: Client) -> None:
    other = Client()
    sign_in(other, Key.create())
    other.post("/account/keys", {"name": "theirs"})
    row = ApiKey.objects.filter(name="theirs").latest("created_at")

    assert visit.post(f"/account/keys/{row.pk}/revoke").status_code == 404
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_refund_with_nothing_to_refund_says_so_and_takes_nothing(visit: Client) -> None:
    answer = visit.post("/account/refund", {"key": "web_" + "0" * 26})

    assert answer.status_code == 409
    assert '<a class="button first" href="/account/">' in answer.content.decode()


def test_a_refund_form_with_a_foreign_key_does_nothing(visit: Client) -> None:
    assert visit.post("/account/refund", {"key": "'; DROP TABLE"})["Location"] == "/account/"
