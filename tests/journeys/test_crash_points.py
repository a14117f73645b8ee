"""kill -9 of the web process at each named point of a payment: the payer's retry gets the answer or the money back."""

import http.client
import secrets
import time
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from billing.selectors import credit_notes
from tests.journeys.live_site import Answer, LiveSite
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.journey]

INVOKE = "/api/v1/x402/invoke"
QUESTION = {"model": "loa-demo", "prompt": "What survives a crash?", "max_tokens": 1024}
SHORT_LEASE = {"LOA_SERVING_LEASE_SECONDS": "3", "LOA_WAIT_SECONDS": "20"}


def _paid_retry(site: LiveSite, header: str) -> Answer:
    """The same payload again, as a conforming client does while it is told 503."""
    deadline = time.monotonic() + 60
    while True:
        answer = site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header})
        if answer.status != 503 or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)


def _fund() -> tuple[Buyer, LocalChain, int]:
    chain = LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    buyer = Buyer("0x" + secrets.token_hex(32))
    chain.mint(buyer.address, 1_000_000)
    return buyer, chain, 1_000_000


def _terms(answer: Answer) -> dict[str, Any]:
    return decoded({name.upper(): value for name, value in answer.headers.items()}["PAYMENT-REQUIRED"])


@pytest.mark.parametrize(
    "point", ["before_settle", "after_broadcast", "after_receipt", "before_commit", "after_commit"]
)
def test_a_killed_server_charges_once_and_either_answers_or_credits(point: str) -> None:
    buyer, chain, balance = _fund()
    with LiveSite(SHORT_LEASE | {"LOA_CRASH_POINTS": point}) as site:
        terms = _terms(site.ask("POST", INVOKE, QUESTION))
        amount = int(terms["accepts"][0]["amount"])
        header = buyer.v2_header(terms)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header})
        site.kill()

        site.variables = dict(SHORT_LEASE)
        site.start()
        answer = _paid_retry(site, header)
        again = _paid_retry(site, header)

    notes = credit_notes.notes_of(buyer.address)
    payment = Payment.objects.get(payer=buyer.address.lower())
    if point == "before_commit":
        assert (answer.status, answer.json()["code"]) == (502, "work_interrupted"), answer.body
        assert payment.state == "credited"
        assert [(note.kind, note.amount) for note in notes] == [("owed", amount)]
    else:
        assert answer.status == 200, answer.body
        assert payment.state == "served"
        assert answer.json()["payment_id"] == payment.pk
        charged = int(answer.json()["charged_micro_usdc"])
        assert [(note.kind, note.amount) for note in notes] == [("change", amount - charged)]
    assert (again.status, again.body) == (answer.status, answer.body) or point == "before_commit"
    assert chain.balance_of(buyer.address) == balance - amount
    call_command("ledger_verify")
