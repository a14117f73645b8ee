"""The gate on real services: a wallet pays for a call, gets the answer, a receipt and its change."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.test import Client

from billing.selectors import credit_notes
from tests.attacks.tools import in_background, until
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, decoded, encoded, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


def pay_to() -> str:
    return str(settings.LOA["NETWORKS"]["eip155:84532"]["pay_to"])


def test_an_unpaid_request_gets_terms_in_both_versions_and_writes_nothing(buyer: Buyer) -> None:
    payments_before = Payment.objects.count()

    response = buyer.ask("/fixed")

    assert response.status_code == 402
    body = response.json()
    assert (body["code"], body["x402Version"], body["error"]) == ("payment_required", 1, "payment_required")
    [v1] = body["accepts"]
    assert (v1["network"], v1["maxAmountRequired"], v1["payTo"]) == ("base-sepolia", "10000", pay_to())
    terms = terms_of(response)
    v2 = terms["accepts"][0]
    assert (terms["x402Version"], v2["network"], v2["amount"]) == (2, "eip155:84532", "10000")
    assert len(v2["extra"]["quote"]) <= 200
    assert len(response["PAYMENT-REQUIRED"]) <= 4096
    assert response["Cache-Control"] == "private, no-store"
    assert Payment.objects.count() == payments_before


def test_a_paid_request_is_answered_once_the_money_is_on_the_chain(buyer: Buyer, chain: LocalChain) -> None:
    before = chain.balance_of(pay_to())

    response = buyer.buy("/fixed")

    assert response.status_code == 200, response.content
    assert response.json() == {"answer": 42, "payer": buyer.address.lower()}
    receipt = receipt_of(response)
    assert (receipt["success"], receipt["network"], receipt["amount"]) == (True, "eip155:84532", "10000")
    assert chain.call("eth_getTransactionReceipt", receipt["transaction"])["status"] == "0x1"
    assert chain.balance_of(pay_to()) == before + 10_000
    payment = Payment.objects.get(pk=receipt["extensions"]["loa"]["payment_id"])
    assert (payment.state, payment.charged_micro_usdc, payment.attempt) == ("served", 10_000, 1)
    assert credit_notes.notes_of(buyer.address) == []


def test_the_unused_part_becomes_a_credit_note(buyer: Buyer) -> None:
    response = buyer.buy("/metered", {"question": "how much?"})

    assert response.status_code == 200, response.content
    assert response.json() == {"saw": {"question": "how much?"}}
    assert receipt_of(response)["extensions"]["loa"]["charged_micro_usdc"] == "700"
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount, note.remaining) == ("change", 1_300, 1_300)


def test_what_exceeds_the_maximum_is_the_sites_expense(buyer: Buyer) -> None:
    response = buyer.buy("/dearer")

    payment = Payment.objects.get(pk=receipt_of(response)["extensions"]["loa"]["payment_id"])
    assert (payment.charged_micro_usdc, payment.overrun_micro_usdc) == (2_000, 3_000)
    assert credit_notes.notes_of(buyer.address) == []


def test_version_one_pays_on_the_same_endpoint(buyer: Buyer) -> None:
    challenge = buyer.ask("/fixed").json()

    response = buyer.ask("/fixed", headers={"X-PAYMENT": buyer.v1_header(challenge)})

    assert response.status_code == 200, response.content
    receipt = decoded(response["X-PAYMENT-RESPONSE"])
    assert (receipt["success"], receipt["network"]) == (True, "base-sepolia")


@pytest.mark.parametrize(("path", "status", "runs"), [("/failing", 502, "failing"), ("/refusing", 404, "refusing")])
def test_work_that_fails_after_payment_becomes_a_note_that_never_expires(
    buyer: Buyer, path: str, status: int, runs: str
) -> None:
    terms = terms_of(buyer.ask(path))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}

    first, retry = buyer.ask(path, headers=header), buyer.ask(path, headers=header)

    for response in (first, retry):
        assert (response.status_code, response.json()["code"]) == (status, "paid_work_failed")
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount, note.expires_at) == ("owed", 2_000, None)
    assert first.json()["credit_notes"][0]["id"] == note.id
    assert paid_urls.runs[runs] == 1


def test_the_payers_retry_gets_the_stored_answer_and_costs_nothing(buyer: Buyer, chain: LocalChain) -> None:
    terms = terms_of(buyer.ask("/metered", {"n": 1}))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
    first = buyer.ask("/metered", {"n": 1}, header)
    balance = chain.balance_of(buyer.address)

    retry = buyer.ask("/metered", {"n": 1}, header)

    assert (retry.status_code, retry.content) == (200, first.content)
    assert receipt_of(retry) == receipt_of(first)
    assert chain.balance_of(buyer.address) == balance
    assert paid_urls.runs["metered"] == 1


def test_the_first_receipt_names_the_time_that_every_later_one_does(buyer: Buyer) -> None:
    """When the money came, which the row says, not when the answer left: the work took longer than a second."""
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/slow")))}
    paid_urls.gate.clear()
    answer = in_background(lambda: Buyer(buyer.private_key, Client()).ask("/slow", headers=header))
    until(lambda: paid_urls.runs["slow"] == 1, seconds=30)
    time.sleep(1.1)

    paid_urls.gate.set()
    first, retry = answer.result(30), buyer.ask("/slow", headers=header)

    payment = Payment.objects.get(payer=buyer.address.lower())
    issued = [
        receipt_of(one)["extensions"]["offer-receipt"]["info"]["receipt"]["payload"]["issuedAt"]
        for one in (first, retry)
    ]
    assert issued == [int(payment.settled_at.timestamp())] * 2
    assert receipt_of(first) == receipt_of(retry)


def test_eight_at_once_with_one_payment_are_one_charge_and_one_run(buyer: Buyer, chain: LocalChain) -> None:
    terms = terms_of(buyer.ask("/metered", {"n": 8}))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}

    with ThreadPoolExecutor(8) as pool:
        responses = list(
            pool.map(lambda _: Buyer(buyer.private_key, Client()).ask("/metered", {"n": 8}, header), range(8))
        )

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert paid_urls.runs["metered"] == 1
    assert chain.balance_of(buyer.address) == 1_000_000 - 2_000


def test_a_payment_is_for_one_request_only(buyer: Buyer) -> None:
    terms = terms_of(buyer.ask("/metered", {"n": 1}))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}

    before_use = buyer.ask("/metered", {"n": 2}, header)
    buyer.ask("/metered", {"n": 1}, header)
    after_use = buyer.ask("/metered", {"n": 2}, header)

    assert (before_use.status_code, before_use.json()["code"]) == (402, "request_changed")
    assert (after_use.status_code, after_use.json()["code"]) == (409, "payment_already_used")
    assert "accepts" not in after_use.json()
    assert paid_urls.runs["metered"] == 1


def test_whoever_reads_the_chain_gets_the_state_and_never_the_answer(buyer: Buyer, chain: LocalChain) -> None:
    response = buyer.buy("/fixed")
    calldata = chain.call("eth_getTransactionByHash", receipt_of(response)["transaction"])["input"]
    words = [calldata[10 + 64 * i : 10 + 64 * (i + 1)] for i in range(9)]
    signature = "0x" + words[7] + words[8] + words[6][-2:]
    payload = {
        "signature": signature,
        "authorization": {
            "from": "0x" + words[0][-40:],
            "to": "0x" + words[1][-40:],
            "value": str(int(words[2], 16)),
            "validAfter": str(int(words[3], 16)),
            "validBefore": str(int(words[4], 16)),
            "nonce": "0x" + words[5],
        },
    }
    rebuilt_v1 = encoded({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload})
    fresh = terms_of(buyer.ask("/fixed"))
    rebuilt_v2 = encoded(
        {"x402Version": 2, "payload": payload, "accepted": fresh["accepts"][0], "resource": fresh["resource"]}
    )

    stolen_v1 = Client().get("/fixed", headers={"X-PAYMENT": rebuilt_v1})
    stolen_v2 = Client().get("/fixed", headers={"PAYMENT-SIGNATURE": rebuilt_v2})

    for stolen in (stolen_v1, stolen_v2):
        assert (stolen.status_code, stolen.json()["code"]) == (409, "payment_already_used")
        assert stolen.json()["state"] == "served"
        assert "answer" not in stolen.json()
    assert paid_urls.runs["fixed"] == 1


def test_a_payer_without_the_money_is_refused_with_fresh_terms(new_buyer: Callable[[int], Buyer]) -> None:
    poor = new_buyer(9_999)

    response = poor.buy("/fixed")

    assert (response.status_code, response.json()["code"]) == (402, "insufficient_funds")
    assert terms_of(response)["accepts"][0]["amount"] == "10000"
    assert paid_urls.runs["fixed"] == 0
    assert not Payment.objects.filter(payer=poor.address.lower()).exists()
