"""A wallet that proves itself spends its credit notes instead of signing a payment (rule R13)."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.selectors import credit_notes
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.permit2_buyer import approve, permit_header
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


@pytest.fixture
def with_credit(buyer: Buyer) -> Buyer:
    """A buyer whose wallet has notes of 2,000 and 1,300 MicroUSDC with us."""
    buyer.buy("/failing")
    buyer.buy("/metered", {"first": True})
    paid_urls.runs.clear()
    assert credit_notes.spendable_credit_of(buyer.address, USDC) == 3_300
    return buyer


def test_a_proof_for_this_request_pays_with_notes_and_nothing_moves_on_the_chain(
    with_credit: Buyer, chain: LocalChain
) -> None:
    balance = chain.balance_of(with_credit.address)
    terms = terms_of(with_credit.ask("/metered", {"n": 1}))

    response = with_credit.ask("/metered", {"n": 1}, {"SIGN-IN-WITH-X": with_credit.prove(terms)})

    assert response.status_code == 200, response.content
    assert response.json() == {"saw": {"n": 1}}
    assert receipt_of(response)["extensions"]["loa"]["charged_micro_usdc"] == "700"
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 2_600
    assert chain.balance_of(with_credit.address) == balance


def test_a_used_proof_pays_nothing_more(with_credit: Buyer) -> None:
    terms = terms_of(with_credit.ask("/metered", {"n": 1}))
    proof = {"SIGN-IN-WITH-X": with_credit.prove(terms)}
    with_credit.ask("/metered", {"n": 1}, proof)

    replayed = with_credit.ask("/metered", {"n": 1}, proof)

    assert (replayed.status_code, replayed.json()["code"]) == (401, "invalid_wallet_proof")
    assert paid_urls.runs["metered"] == 1
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 2_600


def test_twenty_requests_with_one_key_are_one_spend(with_credit: Buyer) -> None:
    key = secrets.token_hex(16)
    proofs = [with_credit.prove(terms_of(with_credit.ask("/metered", {"n": 1}))) for _ in range(20)]

    def spend(proof: str) -> tuple[int, bytes]:
        asker = Buyer(with_credit.private_key, Client())
        response = asker.ask("/metered", {"n": 1}, {"SIGN-IN-WITH-X": proof, "Idempotency-Key": key})
        return response.status_code, response.content

    with ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(spend, proofs[:10])) | set(pool.map(spend, proofs[10:]))

    assert len(answers) == 1, answers
    assert next(iter(answers))[0] == 200
    assert paid_urls.runs["metered"] == 1
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 2_600


def test_a_key_names_one_request_only(with_credit: Buyer) -> None:
    key = {"Idempotency-Key": secrets.token_hex(16)}
    first, second = (terms_of(with_credit.ask("/metered", {"n": n})) for n in (1, 2))
    with_credit.ask("/metered", {"n": 1}, key | {"SIGN-IN-WITH-X": with_credit.prove(first)})

    other = with_credit.ask("/metered", {"n": 2}, key | {"SIGN-IN-WITH-X": with_credit.prove(second)})

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 2_600


def test_too_little_credit_is_answered_with_terms_and_stays_as_it_is(with_credit: Buyer) -> None:
    terms = terms_of(with_credit.ask("/fixed"))

    response = with_credit.ask("/fixed", None, {"SIGN-IN-WITH-X": with_credit.prove(terms)})

    assert (response.status_code, response.json()["code"]) == (402, "payment_required")
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 3_300
    assert paid_urls.runs["fixed"] == 0


def test_two_tabs_cannot_spend_one_note_twice(with_credit: Buyer) -> None:
    proofs = [with_credit.prove(terms_of(with_credit.ask("/slow"))) for _ in range(2)]

    def spend(proof: str) -> int:
        return int(Buyer(with_credit.private_key, Client()).ask("/slow", None, {"SIGN-IN-WITH-X": proof}).status_code)

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(spend, proofs))

    assert statuses == [200, 402]
    assert paid_urls.runs["slow"] == 1
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 1_300
    assert not Payment.objects.filter(payer=with_credit.address.lower(), state__in=["verified", "serving"]).exists()


def test_a_proven_wallet_pays_the_rest_of_a_price_on_the_chain(with_credit: Buyer, chain: LocalChain) -> None:
    balance = chain.balance_of(with_credit.address)
    first = terms_of(with_credit.ask("/fixed"))

    challenge = with_credit.ask("/fixed", None, {"SIGN-IN-WITH-X": with_credit.prove(first)})
    mixed = terms_of(challenge)
    response = with_credit.ask("/fixed", None, {"PAYMENT-SIGNATURE": with_credit.v2_header(mixed)})

    assert challenge.json()["credit_applied_micro_usdc"] == "3300"
    assert mixed["accepts"][0]["amount"] == "6700"
    assert response.status_code == 200, response.content
    assert receipt_of(response)["extensions"]["loa"]["charged_micro_usdc"] == "10000"
    assert chain.balance_of(with_credit.address) == balance - 6_700
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 0


def test_a_mixed_payment_charges_credit_first_and_returns_the_rest_as_change(
    with_credit: Buyer, chain: LocalChain
) -> None:
    with_credit.buy("/failing")  # 5,300 MicroUSDC of credit now
    expensive = terms_of(with_credit.ask("/expensive"))
    mixed = terms_of(with_credit.ask("/expensive", None, {"SIGN-IN-WITH-X": with_credit.prove(expensive)}))

    response = with_credit.ask("/expensive", None, {"PAYMENT-SIGNATURE": with_credit.v2_header(mixed)})

    assert mixed["accepts"][0]["amount"] == "700"
    assert response.status_code == 200, response.content
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 6_000 - 700


def test_credit_that_is_gone_before_the_payment_costs_nothing(with_credit: Buyer, chain: LocalChain) -> None:
    balance = chain.balance_of(with_credit.address)
    first = terms_of(with_credit.ask("/fixed"))
    mixed = terms_of(with_credit.ask("/fixed", None, {"SIGN-IN-WITH-X": with_credit.prove(first)}))
    spent = terms_of(with_credit.ask("/metered", {"n": 1}))
    with_credit.ask("/metered", {"n": 1}, {"SIGN-IN-WITH-X": with_credit.prove(spent)})

    response = with_credit.ask("/fixed", None, {"PAYMENT-SIGNATURE": with_credit.v2_header(mixed)})

    assert (response.status_code, response.json()["code"]) == (402, "credit_changed")
    assert chain.balance_of(with_credit.address) == balance
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 2_600
    assert paid_urls.runs["fixed"] == 0


def test_failed_work_gives_both_parts_of_a_mixed_payment_back(with_credit: Buyer, chain: LocalChain) -> None:
    balance = chain.balance_of(with_credit.address)
    first = terms_of(with_credit.ask("/failing-dear"))
    mixed = terms_of(with_credit.ask("/failing-dear", None, {"SIGN-IN-WITH-X": with_credit.prove(first)}))

    response = with_credit.ask("/failing-dear", None, {"PAYMENT-SIGNATURE": with_credit.v2_header(mixed)})

    assert (response.status_code, response.json()["code"]) == (502, "paid_work_failed")
    assert chain.balance_of(with_credit.address) == balance - 6_700
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 10_000


def test_the_rest_of_a_price_may_be_paid_by_permit2(with_credit: Buyer, chain: LocalChain) -> None:
    approve(chain, with_credit)
    balance = chain.balance_of(with_credit.address)
    first = terms_of(with_credit.ask("/fixed"))
    mixed = terms_of(with_credit.ask("/fixed", None, {"SIGN-IN-WITH-X": with_credit.prove(first)}))

    response = with_credit.ask("/fixed", None, permit_header(with_credit, mixed))

    assert response.status_code == 200, response.content
    assert receipt_of(response)["extensions"]["loa"]["charged_micro_usdc"] == "10000"
    assert chain.balance_of(with_credit.address) == balance - 6_700
    assert credit_notes.spendable_credit_of(with_credit.address, USDC) == 0


def test_change_spent_on_work_that_failed_comes_back_as_change_with_a_day_to_spend_it(buyer: Buyer, settings) -> None:
    settings.LOA = settings.LOA | {"CHANGE_LIFETIME_SECONDS": 3_600}
    for number in range(2):
        buyer.buy("/metered", {"n": number})
    terms = terms_of(buyer.ask("/failing"))

    response = buyer.ask("/failing", None, {"SIGN-IN-WITH-X": buyer.prove(terms)})

    assert (response.status_code, response.json()["code"]) == (502, "paid_work_failed")
    notes = credit_notes.notes_of(buyer.address)
    assert [(note.kind, note.remaining) for note in notes] == [("change", 1_300)] * 2
    assert all(note.expires_at - timezone.now() > timedelta(hours=23) for note in notes)
