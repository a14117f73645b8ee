"""What tests of credit share: a signed-in wallet with money on the chain."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from django.test import Client
from django.utils import timezone
from eth_account import Account as Key
from eth_account.messages import encode_defunct
from siwe import SiweMessage

from accounts.services import api_keys, nonces, sessions
from accounts.services.sign_in_expectations import site_expectation
from billing.domain import accounts
from billing.selectors.balances import balance_of
from tests.x402.buyer import Buyer, terms_of

PURCHASE = "/api/v1/credits/purchase"


@dataclass
class Member:
    """A buyer who is signed in."""

    buyer: Buyer
    pair: sessions.TokenPair = field(init=False)

    def __post_init__(self) -> None:
        expected = site_expectation()
        message = SiweMessage(
            domain=expected.domain,
            uri=expected.uri,
            address=self.buyer.address,
            version="1",
            chain_id=84532,
            nonce=nonces.issue(),
            issued_at=timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        text = message.prepare_message()
        signed = Key.sign_message(encode_defunct(text=text), self.buyer.private_key)
        self.pair = sessions.sign_in(text, "0x" + signed.signature.hex().removeprefix("0x"))

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.pair.access_token}"}

    @property
    def prepaid(self) -> int:
        return prepaid_of(self.pair.account_id)

    def get(self, path: str) -> Any:
        return Client(headers=self.bearer).get(path)

    def post(self, path: str, body: object, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(headers=self.bearer | named).post(path, json.dumps(body), content_type="application/json")

    def new_key(self) -> tuple[str, str]:
        row, secret = api_keys.create(self.pair.account_id, created_by=self.pair.wallet)
        return row.pk, secret


def prepaid_of(account_id: str) -> int:
    return balance_of(accounts.available(account_id), accounts.PREPAID)


def buy(buyer: Buyer, body: dict[str, Any], *, key: str, headers: dict[str, str] | None = None) -> Any:
    """Ask for terms, sign them, and buy."""
    sent = (headers or {}) | {"Idempotency-Key": key}
    terms = terms_of(buyer.ask(PURCHASE, body, sent))
    return buyer.ask(PURCHASE, body, sent | {"PAYMENT-SIGNATURE": buyer.v2_header(terms)})


def new_key() -> str:
    return secrets.token_hex(16)
