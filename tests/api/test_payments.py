"""Payments over HTTP: state for whoever holds the id, the rest for the payer's side alone."""

import hashlib
import secrets

import pytest
from django.test import Client
from eth_account import Account as Key
from eth_account.messages import encode_defunct, encode_typed_data

from accounts.services.account_of_wallet import account_id_of_wallet
from billing.domain.journal import Transition
from billing.services.settlements import SettledPayment, book_settlements
from telemetry.identifiers import new_id, new_payment_id
from x402.models import Payment

DOMAIN = {"name": "x402 receipt", "version": "1", "chainId": 1}
TYPES = {
    "Receipt": [
        {"name": "version", "type": "uint256"},
        {"name": "network", "type": "string"},
        {"name": "resourceUrl", "type": "string"},
        {"name": "payer", "type": "string"},
        {"name": "issuedAt", "type": "uint256"},
        {"name": "transaction", "type": "string"},
    ]
}

pytestmark = pytest.mark.django_db(transaction=True)

STATE_FIELDS = {"payment_id", "state", "is_final", "next_step", "created_at"}


def settlement_of(payment):
    """The transfer that paid it, as the chain would show it."""
    transaction_hash = "0x" + secrets.token_hex(32)
    return SettledPayment(
        payment_id=payment.pk,
        entry_id=payment.entry_id,
        account_id=payment.account_id,
        wallet=payment.payer,
        network=payment.network,
        asset_address=payment.asset,
        pay_to=payment.pay_to,
        amount_micro_usdc=payment.amount_micro_usdc,
        tx_hash=transaction_hash,
        block_hash="0x" + secrets.token_hex(32),
        block_number=1,
        log_index=0,
        correlation_id=payment.correlation_id,
        transition=Transition(
            "x402_payment", payment.pk, "verified", "settled", 1, {"transaction_hash": transaction_hash}
        ),
    )


@pytest.fixture
def payer():
    return Key.create()


@pytest.fixture
def paid(payer):
    """Make a payment of the payer's that was settled."""

    def make(**fields):
        wallet = payer.address.lower()
        payment = Payment.objects.create(
            id=new_payment_id(),
            network="eip155:84532",
            verifying_contract="0x036cbd53842c5426634e7929541ec2318f3dcf7e",
            payer=wallet,
            nonce="0x" + secrets.token_hex(32),
            asset="0x036cbd53842c5426634e7929541ec2318f3dcf7e",
            pay_to="0x" + "11" * 20,
            amount_micro_usdc=2_000,
            request_hash="ab" * 32,
            request_method="POST",
            request_path="/api/v1/x402/invoke",
            correlation_id=new_id("quo"),
            account_id=account_id_of_wallet(wallet),
            entry_id=new_id("ent"),
            **fields,
        )
        [booked] = book_settlements([settlement_of(payment)])
        assert booked.is_written, booked
        payment.refresh_from_db()
        return payment

    return make


@pytest.fixture
def bearer():
    """Sign a wallet in over HTTP; the headers of its session."""

    def headers_of(key):
        nonce = Client().get("/api/v1/auth/nonce").json()
        message = (
            f"{nonce['domain']} wants you to sign in with your Ethereum account:\n{key.address}\n\n\n"
            f"URI: {nonce['uri']}\nVersion: 1\nChain ID: {nonce['chain_id']}\n"
            f"Nonce: {nonce['nonce']}\nIssued At: {nonce['issued_at']}"
        )
        signature = "0x" + key.sign_message(encode_defunct(text=message)).signature.hex().removeprefix("0x")
        answer = Client().post(
            "/api/v1/auth/verify", {"message": message, "signature": signature}, content_type="application/json"
        )
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    return headers_of


def get(path, **headers):
    return Client().get(path, headers=headers)


def test_whoever_holds_the_id_sees_the_state_and_nothing_else(paid):
    payment = paid()

    response = get(f"/api/v1/payments/{payment.pk}")

    body = response.json()
    assert response.status_code == 200
    assert set(body) == STATE_FIELDS
    assert (body["payment_id"], body["state"], body["is_final"]) == (payment.pk, "settled", False)
    assert response["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "payment_id", ["pay_" + "A" * 22, "pay_", "x", "pay_" + "A" * 500, "pay_%00", "pay_%ff", "..", "%27", "pay_é"]
)
def test_an_id_nobody_has_is_404(payment_id):
    response = get(f"/api/v1/payments/{payment_id}")

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Loa-Quote-Token": "guessed"},
        {"Idempotency-Key": "guessed-guessed-guessed"},
        {"Authorization": "Bearer st_guessed"},
        {"Authorization": "Basic eDp5"},
    ],
)
def test_a_receipt_is_refused_to_whoever_proves_nothing(paid, headers):
    payment = paid(
        quote_token_hash=hashlib.sha256(b"right").hexdigest(),
        idempotency_key_hash=hashlib.sha256(b"k" * 16).hexdigest(),
    )

    response = get(f"/api/v1/payments/{payment.pk}/receipt", **headers)

    assert response.status_code == 401
    assert "2000" not in response.content.decode()


def test_the_quotes_token_opens_facts_and_receipt(paid):
    payment = paid(quote_token_hash=hashlib.sha256(b"the-token").hexdigest())

    facts = get(f"/api/v1/payments/{payment.pk}", **{"Loa-Quote-Token": "the-token"}).json()
    receipt = get(f"/api/v1/payments/{payment.pk}/receipt", **{"Loa-Quote-Token": "the-token"}).json()

    assert (facts["paid_micro_usdc"], facts["charged_micro_usdc"]) == ("2000", None)
    assert facts["transaction"] == payment.transaction_hash
    assert receipt["payment"] == facts
    assert receipt["settlement"]["transaction"] == payment.transaction_hash


def test_the_idempotency_key_of_the_first_request_opens_the_receipt(paid):
    key = "my-own-key-0000001"
    payment = paid(idempotency_key_hash=hashlib.sha256(key.encode()).hexdigest())

    assert get(f"/api/v1/payments/{payment.pk}/receipt", **{"Idempotency-Key": key}).status_code == 200
    assert get(f"/api/v1/payments/{payment.pk}/receipt", **{"Idempotency-Key": "short"}).status_code == 400


def test_a_receipt_is_signed_so_that_anyone_can_recover_the_signer(paid):
    payment = paid(quote_token_hash=hashlib.sha256(b"the-token").hexdigest())

    signed = get(f"/api/v1/payments/{payment.pk}/receipt", **{"Loa-Quote-Token": "the-token"}).json()["signed"]

    message = encode_typed_data(DOMAIN, TYPES, signed["payload"])
    assert Key.recover_message(message, signature=signed["signature"]) == signed["signer"]
    assert signed["payload"]["transaction"] == payment.transaction_hash
    assert signed["payload"]["payer"] == payment.payer


def test_a_browser_gets_the_receipt_as_a_page(paid):
    payment = paid(quote_token_hash=hashlib.sha256(b"the-token").hexdigest())

    response = get(f"/api/v1/payments/{payment.pk}/receipt", **{"Loa-Quote-Token": "the-token", "Accept": "text/html"})

    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert payment.pk in response.content.decode()


def test_an_unsettled_payment_has_no_receipt(payer, paid):
    payment = paid(quote_token_hash=hashlib.sha256(b"the-token").hexdigest())
    Payment.objects.filter(pk=payment.pk).update(settled_at=None)

    response = get(f"/api/v1/payments/{payment.pk}/receipt", **{"Loa-Quote-Token": "the-token"})

    assert (response.status_code, response.json()["code"]) == (409, "wrong_state")


@pytest.mark.parametrize("path", ["payments", "credits/balance", "credits/history"])
def test_own_things_need_a_signed_in_wallet(path):
    response = get(f"/api/v1/{path}")

    assert (response.status_code, response.json()["code"]) == (401, "authentication_required")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_the_payer_who_signed_in_lists_own_payments_in_pages(payer, paid, bearer):
    newest_first = [paid().pk for _ in range(5)][::-1]
    headers = bearer(payer)

    first = get("/api/v1/payments?limit=3", **headers).json()
    second = get(f"/api/v1/payments?limit=3&cursor={first['next_cursor']}", **headers).json()

    seen = [payment["payment_id"] for page in (first, second) for payment in page["payments"]]
    assert seen == newest_first
    assert second["next_cursor"] is None
    assert get(f"/api/v1/payments/{newest_first[0]}/receipt", **headers).status_code == 200


def test_another_wallet_sees_nothing_of_it(paid, bearer):
    payment = paid()
    headers = bearer(Key.create())

    assert get("/api/v1/payments", **headers).json() == {"payments": [], "next_cursor": None}
    assert set(get(f"/api/v1/payments/{payment.pk}", **headers).json()) == STATE_FIELDS
    assert get(f"/api/v1/payments/{payment.pk}/receipt", **headers).status_code == 401


@pytest.mark.parametrize("path", ["payments", "credits/history"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=x", 422),
        ("limit=%00", 422),
        ("limit=-1", 422),
        ("limit=999999999999999999999", 422),
        ("cursor=%00", 400),
        ("cursor=AAAA", 400),
        ("cursor=" + "W" * 5_000, 400),
        ("cursor=MjAyNi0xMS0yNFQwMDowMDowMA", 400),
    ],
)
def test_a_page_that_does_not_exist_is_a_client_error(payer, bearer, path, query, status):
    assert get(f"/api/v1/{path}?{query}", **bearer(payer)).status_code == status


def test_a_wallet_without_credit_has_a_balance_of_zero(payer, bearer):
    headers = bearer(payer)

    balance = get("/api/v1/credits/balance", **headers).json()
    history = get("/api/v1/credits/history", **headers).json()

    assert balance == {
        "wallet": payer.address.lower(),
        "asset": "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e",
        "spendable_micro_usdc": "0",
        "refundable_micro_usdc": "0",
        "prepaid_micro_usd": "0",
        "prepaid_held_micro_usd": "0",
        "credit_notes": [],
    }
    assert history == {"movements": [], "prepaid_movements": [], "next_cursor": None}
