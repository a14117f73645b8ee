"""Several wallets of one account: each proves itself, none changes sides, and no other signature will do."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from accounts.models import AuditEvent, Wallet
from accounts.services import linked_wallets, sessions
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.errors import WalletTaken
from accounts.services.sessions import SignedIn
from tests.accounts.conftest import Signer

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

WALLETS = "/api/v1/auth/wallets"


class Visitor:
    """A signed-in wallet."""

    def __init__(self) -> None:
        self.signer = Signer()
        self.account_id = account_id_of_wallet(self.signer.wallet)
        self.token = sessions._begin(self.signer.wallet, self.account_id, family=None).access_token

    @property
    def who(self) -> SignedIn:
        return sessions.signed_in(self.token)

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        if document is None:
            return getattr(Client(), method)(path, headers=headers)
        send = getattr(Client(), method)
        return send(path, data=json.dumps(document), content_type="application/json", headers=headers)

    def proof_of(self, other: Signer) -> dict[str, str]:
        """What the other wallet signs to join this account."""
        text = self.ask("post", f"{WALLETS}/message", {"wallet": other.wallet}).json()["message"]
        return {"message": text, "signature": other.sign(text)}


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


def test_a_second_wallet_signs_in_to_the_same_account(visitor: Visitor) -> None:
    second = Signer()

    added = visitor.ask("post", WALLETS, visitor.proof_of(second))

    listed = visitor.ask("get", WALLETS).json()
    entered = Client().post("/api/v1/auth/verify", json.dumps(second.sign_in()), content_type="application/json")
    assert (added.status_code, added.json()["wallet"]) == (201, second.wallet)
    assert [one["wallet"] for one in listed["wallets"]] == [visitor.signer.wallet, second.wallet]
    assert entered.json()["account_id"] == visitor.account_id == listed["account_id"]
    assert AuditEvent.objects.filter(action="wallet.added", subject=visitor.account_id).count() == 1


def test_the_message_names_the_account_and_serves_once(visitor: Visitor) -> None:
    proof = visitor.proof_of(Signer())

    first, second = visitor.ask("post", WALLETS, proof), visitor.ask("post", WALLETS, proof)

    assert visitor.account_id in proof["message"]
    assert (first.status_code, second.status_code, second.json()["code"]) == (201, 401, "invalid_sign_in")


def test_a_wallet_that_has_an_account_stays_there(visitor: Visitor) -> None:
    other = Visitor()

    refused = visitor.ask("post", WALLETS, visitor.proof_of(other.signer))

    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_taken")
    assert Wallet.objects.get(address=other.signer.wallet).account_id == other.account_id


def test_adding_a_wallet_that_is_there_changes_nothing(visitor: Visitor) -> None:
    second = Signer()
    visitor.ask("post", WALLETS, visitor.proof_of(second))

    again = visitor.ask("post", WALLETS, visitor.proof_of(second))

    assert again.status_code == 201
    assert Wallet.objects.filter(account_id=visitor.account_id).count() == 2


def test_a_sign_in_elsewhere_adds_no_wallet(visitor: Visitor) -> None:
    other, attacker = Visitor(), Visitor()
    second = Signer()

    answers = [
        visitor.ask("post", WALLETS, second.sign_in()),
        attacker.ask("post", WALLETS, other.proof_of(second)),
        visitor.ask("post", WALLETS, visitor.proof_of(second) | {"signature": "0x" + "11" * 65}),
    ]
    entered = Client().post(
        "/api/v1/auth/verify", json.dumps(visitor.proof_of(second)), content_type="application/json"
    )

    assert {(one.status_code, one.json()["code"]) for one in [*answers, entered]} == {(401, "invalid_sign_in")}
    assert not Wallet.objects.filter(address=second.wallet).exists()


@pytest.mark.parametrize(
    "document", [{}, {"wallet": "0x1"}, {"wallet": 7}, {"wallet": "0x" + "1" * 40, "account_id": "acc_1"}]
)
def test_what_is_no_wallet_gets_no_message(visitor: Visitor, document: Any) -> None:
    refused = visitor.ask("post", f"{WALLETS}/message", document)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameters")


def test_strangers_see_and_add_nothing() -> None:
    answers = [Client().get(WALLETS), Client().post(WALLETS, b"{}", content_type="application/json")]

    assert {answer.status_code for answer in answers} == {401}


def test_an_account_has_no_more_than_twenty(visitor: Visitor) -> None:
    for number in range(linked_wallets.WALLETS_MAX - 1):
        Wallet.objects.create(
            address=f"0x{int(visitor.signer.wallet, 16) ^ (number + 1):040x}", account_id=visitor.account_id
        )

    refused = visitor.ask("post", WALLETS, visitor.proof_of(Signer()))

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_wallets")


def test_of_two_accounts_that_want_one_wallet_one_gets_it(visitor: Visitor) -> None:
    second, other = Signer(), Visitor()
    proofs = {one.account_id: (one, one.proof_of(second)) for one in (visitor, other)}

    def add(account_id: str) -> str:
        one, proof = proofs[account_id]
        try:
            return linked_wallets.add_wallet(one.who, proof["message"], proof["signature"]).account_id
        except WalletTaken:
            return "taken"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(add, proofs))

    owner = Wallet.objects.get(address=second.wallet).account_id
    assert outcomes == sorted([owner, "taken"])
