"""Row 22: prepaid credit behind API keys: ids across tenants, changed bodies, free calls, races with the end."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import Account
from accounts.services import api_keys
from billing.domain import accounts
from billing.selectors.balances import balance_of
from tests.attacks import shop
from tests.attacks.score import Attack
from tests.factories.ledger import give_prepaid
from tests.x402.buyer import Buyer

pytestmark = [pytest.mark.urls("tests.attacks.shop_urls"), pytest.mark.attacks("22 API-key credits")]

CREATOR = "0x" + "22" * 20


class Tenant:
    """An account with prepaid credit and one key."""

    def __init__(self, attack: Attack, balance: int = 100_000) -> None:
        self.account_id = Account.objects.create().pk
        row, self.secret = api_keys.create(self.account_id, created_by=CREATOR)
        self.key_id = row.pk
        give_prepaid(self.account_id, balance)
        attack.wallets.append(f"key:{row.family}")

    def ask(self, document: dict[str, Any], key: str = "", path: str = "/ask") -> Any:
        headers = {"Authorization": f"Bearer {self.secret}"} | ({"Idempotency-Key": key} if key else {})
        try:
            return Buyer("0x" + "33" * 32, Client()).ask(path, document, headers)
        finally:
            connection.close()

    @property
    def balance(self) -> int:
        return balance_of(accounts.available(self.account_id), accounts.PREPAID)


def test_one_tenants_request_id_gives_another_tenant_nothing(attack: Attack) -> None:
    victim, thief, shared = Tenant(attack), Tenant(attack, balance=10), secrets.token_hex(16)
    bought = victim.ask({"n": "secret"}, shared)

    attempts = [thief.ask({"n": "secret"}, shared) for _ in range(3)]

    attack.saw(bought)
    attack.stranger_saw(*attempts)
    assert {(one.status_code, one.json()["code"]) for one in attempts} == {(402, "insufficient_funds")}
    assert (victim.balance, thief.balance) == (99_300, 10)


def test_a_changed_body_under_one_key_is_neither_answered_nor_run(attack: Attack) -> None:
    tenant, shared = Tenant(attack), secrets.token_hex(16)
    attack.saw(tenant.ask({"n": 1}, shared))

    attempts = [tenant.ask({"n": n}, shared) for n in range(2, 6)]

    assert {(one.status_code, one.json()["code"]) for one in attempts} == {(422, "idempotency_key_reused")}
    assert (tenant.balance, sum(shop.runs.values())) == (99_300, 1)


def test_a_balance_for_one_call_buys_one_call_however_many_ask_at_once(attack: Attack) -> None:
    tenant = Tenant(attack, balance=2_500)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: tenant.ask({"n": n}), range(12)))

    served = [answer for answer in answers if answer.status_code == 200]
    attack.saw(*served)
    assert {answer.status_code for answer in answers} <= {200, 402}
    assert tenant.balance == 2_500 - 700 * len(served) >= 0
    assert sum(shop.runs.values()) == len(served)


def test_no_call_begins_after_a_key_was_revoked(attack: Attack) -> None:
    tenant = Tenant(attack)

    with ThreadPoolExecutor(8) as pool:
        racing = [pool.submit(tenant.ask, {"n": n}) for n in range(16)]
        api_keys.revoke(tenant.account_id, tenant.key_id, revoked_by=CREATOR)
        late = [pool.submit(tenant.ask, {"late": n}) for n in range(8)]

    served = [one.result() for one in racing if one.result().status_code == 200]
    attack.saw(*served)
    attack.stranger_saw(*[one.result() for one in late])
    assert {one.result().status_code for one in late} == {401}
    assert tenant.balance == 100_000 - 700 * len(served)


def test_a_retry_storm_under_one_key_is_one_charge(attack: Attack) -> None:
    tenant, shared = Tenant(attack), secrets.token_hex(16)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: tenant.ask({"n": 1}, shared), range(36)))

    attack.saw(*answers)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (tenant.balance, sum(shop.runs.values())) == (99_300, 1)


def test_failed_work_is_neither_charged_nor_served(attack: Attack) -> None:
    tenant = Tenant(attack)

    answers = [tenant.ask({"n": n}, path="/broken") for n in range(3)]

    attack.saw(*answers)
    assert {answer.status_code for answer in answers} == {502}
    assert tenant.balance == 100_000
