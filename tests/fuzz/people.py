"""Two customers and a staff member of a live site, each with something of every kind that must stay their own."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from accounts.services import allowlist
from loa_site.local import wallets
from tests.factories.ledger import give_prepaid
from tests.journeys.live_site import Answer, LiveSite
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member

INVOKE = "/api/v1/x402/invoke"
QUESTION = {"model": "loa-demo", "prompt": "Who reads this?", "max_tokens": 64}
SCOPES = ["pay", "read", "facilitate"]
FINAL_BLOCKS = 70


@dataclass(slots=True)
class Person:
    """A signed-in wallet with money, a key, payments by both, credit notes, a refund and an onboarding."""

    site: LiveSite
    buyer: Buyer
    bearer: dict[str, str]
    wallet: str
    account_id: str
    key_id: str = ""
    key: dict[str, str] = field(default_factory=dict)
    payment_id: str = ""
    key_payment_id: str = ""
    refund_id: str = ""
    session_id: str = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.site.ask(method, path, body, self.bearer | headers)

    @property
    def possessions(self) -> dict[str, str]:
        """Path parameters that name what is this person's."""
        return {
            "payment_id": self.payment_id,
            "key_id": self.key_id,
            "refund_id": self.refund_id,
            "session_id": self.session_id,
            "wallet": self.wallet,
        }


def new_person(site: LiveSite) -> Person:
    """Someone who has bought by wallet and by key, and asked for a refund."""
    chain = LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    chain.mint(wallets.refund_float().address, 1_000_000_000)
    buyer = Buyer("0x" + secrets.token_hex(32))
    chain.mint(buyer.address, 10_000_000)
    bought = buyer.buy(INVOKE, QUESTION | {"max_tokens": 1024})
    assert bought.status_code == 200, bought.content
    member = Member(buyer)
    give_prepaid(member.pair.account_id, 1_000_000)
    person = Person(site, buyer, member.bearer, buyer.address.lower(), member.pair.account_id)
    person.payment_id = bought.json()["payment_id"]
    key = expect(person.ask("POST", "/api/v1/keys", {"name": secrets.token_hex(8), "scopes": SCOPES}), 201)
    person.key_id, person.key = key["key_id"], {"Authorization": f"Bearer {key['key']}"}
    person.key_payment_id = expect(site.ask("POST", INVOKE, QUESTION, person.key), 200)["payment_id"]
    chain.mine(FINAL_BLOCKS)
    refund = person.ask("POST", "/api/v1/credits/refund", {}, **{"Idempotency-Key": secrets.token_hex(16)})
    person.refund_id = expect(refund, 202)["refund_id"]
    allowlist.add([person.wallet], actor="test", reason="a customer")
    person.session_id = expect(person.ask("POST", "/api/v1/onboarding/start"), 200)["session_id"]
    return person


def staff_cookie() -> dict[str, str]:
    """The session of someone who may do everything in the admin's API."""
    client = Client()
    client.force_login(User.objects.create(username=secrets.token_hex(8), is_staff=True, is_superuser=True))
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"}


def expect(answer: Answer, status: int) -> dict[str, Any]:
    """The document of an answer with this status."""
    assert answer.status == status, (answer.status, answer.body)
    document: dict[str, Any] = json.loads(answer.body)
    return document
