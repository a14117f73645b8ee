"""kill -9 between every two steps of a call by API key and of a refund: charged once or not at all, paid out once."""

import http.client
import secrets
import time
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from accounts.models import Account
from accounts.services import api_keys
from billing.domain import accounts
from billing.selectors import credit_notes
from billing.selectors.balances import balance_of
from loa_site.local import wallets
from tests.factories.ledger import give_prepaid, kinds_of_refund
from tests.journeys.live_site import Answer, LiveSite
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member
from x402.models import Payment, Reconciliation, Refund

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.journey]

INVOKE = "/api/v1/x402/invoke"
REFUND = "/api/v1/credits/refund"
QUESTION = {"model": "loa-demo", "prompt": "What survives a crash?", "max_tokens": 64}
SHORT = {"LOA_SERVING_LEASE_SECONDS": "2", "LOA_WAIT_SECONDS": "2", "LOA_BACKGROUND_WORK": "workers"}
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
ENDS = http.client.HTTPException, ConnectionError


def until_decided(site: LiveSite, path: str, body: Any, headers: dict[str, str]) -> Answer:
    """The same request again, as a client does while it is told to wait."""
    deadline = time.monotonic() + 40
    while True:
        answer = site.ask("POST", path, body, headers)
        if answer.status not in (409, 503) or time.monotonic() > deadline:
            return answer
        time.sleep(0.3)


@pytest.mark.parametrize("point", ["key_payment_stored", "key_payment_held", "before_commit", "after_commit"])
def test_a_call_by_key_whose_server_was_killed_is_charged_once_or_not_at_all(point: str) -> None:
    account_id = Account.objects.create().pk
    row, secret = api_keys.create(account_id, created_by="0x" + "22" * 20)
    give_prepaid(account_id, 1_000_000)
    headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": secrets.token_hex(16)}
    with LiveSite(SHORT | {"LOA_CRASH_POINTS": point}) as site:
        with pytest.raises(ENDS):
            site.ask("POST", INVOKE, QUESTION, headers)
        site.kill()
        site.variables = dict(SHORT)
        site.start()
        answer = until_decided(site, INVOKE, QUESTION, headers)
        again = until_decided(site, INVOKE, QUESTION, headers)

    payment = Payment.objects.get(account_id=account_id)
    balance = balance_of(accounts.available(account_id), accounts.PREPAID)
    if point == "before_commit":
        assert (answer.status, answer.json()["code"], payment.state) == (502, "work_interrupted", "credited")
        assert balance == 1_000_000
    else:
        assert (answer.status, payment.state) == (200, "served"), answer.body
        assert balance == 1_000_000 - (payment.charged_micro_usdc or 0)
    assert (again.status, again.json()["payment_id"]) == (answer.status, payment.pk)
    assert balance_of(accounts.held(account_id), accounts.PREPAID) == 0
    assert api_keys.spent_today(row.family) == 1_000_000 - balance
    call_command("ledger_verify")


def ask_while_blocks_pass(site: LiveSite, chain: LocalChain, headers: dict[str, str]) -> None:
    for _ in range(10):
        site.ask("POST", REFUND, {}, headers)
        chain.mine(70)


@pytest.mark.parametrize("point", ["refund_stored", "refund_started", "refund_sent", "refund_seen"])
def test_a_refund_whose_server_was_killed_is_paid_out_once(point: str) -> None:
    chain = LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    chain.mint(wallets.refund_float().address, 1_000_000_000)
    buyer = Buyer("0x" + secrets.token_hex(32))
    chain.mint(buyer.address, 1_000_000)
    assert buyer.buy(INVOKE, QUESTION | {"max_tokens": 1024}).status_code == 200
    credit = credit_notes.spendable_credit_of(buyer.address, USDC)
    assert credit > 0
    chain.mine(70)
    Reconciliation.objects.create(applied=True, difference_count=0)  # what other tests left must not stop refunds
    before = chain.balance_of(buyer.address)
    headers = Member(buyer).bearer | {"Idempotency-Key": secrets.token_hex(16)}

    with LiveSite(SHORT | {"LOA_CRASH_POINTS": point}) as site:
        with pytest.raises(ENDS):
            ask_while_blocks_pass(site, chain, headers)
        site.kill()
        site.variables = dict(SHORT)
        site.start()
        for _ in range(20):
            answer = until_decided(site, REFUND, {}, headers)
            if answer.status != 202 or answer.json()["state"] == "paid":
                break
            time.sleep(0.3)
            chain.mine(70)

    assert (answer.status, answer.json()["state"]) == (202, "paid"), answer.body
    [refund] = Refund.objects.filter(wallet=buyer.address.lower())
    assert chain.balance_of(buyer.address) == before + credit
    assert credit_notes.spendable_credit_of(buyer.address, USDC) == 0
    assert kinds_of_refund(refund.pk) == ["credit_note_refund_started", "credit_note_refund_paid"]
    call_command("ledger_verify")
