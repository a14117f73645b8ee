"""A purchase that its client named is bought once, however often it is signed (extension `payment-identifier`)."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, decoded, encoded, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

NAME = "payment-identifier"


def named(buyer: Buyer, path: str, identifier: str, document: dict[str, Any] | None = None) -> dict[str, str]:
    """A freshly signed payment whose client echoed the extension with its id."""
    terms = terms_of(buyer.ask(path, document))
    payment = decoded(buyer.v2_header(terms))
    echo = terms["extensions"][NAME]
    payment["extensions"] = {NAME: echo | {"info": echo["info"] | {"id": identifier}}}
    return {"PAYMENT-SIGNATURE": encoded(payment)}


@pytest.fixture
def identifier() -> str:
    return secrets.token_hex(16)


def test_every_402_declares_the_extension_with_a_schema_for_its_id(buyer: Buyer) -> None:
    declared = terms_of(buyer.ask("/fixed"))["extensions"][NAME]

    assert declared == {
        "info": {"required": False},
        "schema": {
            "type": "object",
            "properties": {
                "required": {"type": "boolean"},
                "id": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{16,128}$"},
            },
            "required": ["required"],
        },
    }


def test_a_purchase_signed_anew_under_its_name_is_answered_from_the_first(
    buyer: Buyer, chain: LocalChain, identifier: str
) -> None:
    first = buyer.ask("/metered", {"n": 1}, named(buyer, "/metered", identifier, {"n": 1}))
    balance = chain.balance_of(buyer.address)

    again = buyer.ask("/metered", {"n": 1}, named(buyer, "/metered", identifier, {"n": 1}))

    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    assert receipt_of(again) == receipt_of(first)
    assert chain.balance_of(buyer.address) == balance
    assert Payment.objects.filter(payer=buyer.address.lower()).count() == 1
    assert paid_urls.runs["metered"] == 1


def test_the_header_for_names_and_the_extension_are_one_name(buyer: Buyer, identifier: str) -> None:
    first = buyer.ask("/fixed", headers=named(buyer, "/fixed", identifier))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/fixed"))), "Idempotency-Key": identifier}

    again = buyer.ask("/fixed", headers=header)

    assert (again.status_code, again.content) == (200, first.content)
    assert paid_urls.runs["fixed"] == 1


def test_a_name_stands_for_one_request(buyer: Buyer, chain: LocalChain, identifier: str) -> None:
    buyer.ask("/metered", {"n": 1}, named(buyer, "/metered", identifier, {"n": 1}))
    balance = chain.balance_of(buyer.address)

    other = buyer.ask("/metered", {"n": 2}, named(buyer, "/metered", identifier, {"n": 2}))

    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert "accepts" not in other.json()
    assert chain.balance_of(buyer.address) == balance
    assert Payment.objects.filter(payer=buyer.address.lower()).count() == 1


def test_a_name_is_its_payers_alone(buyer: Buyer, new_buyer: Callable[[int], Buyer], identifier: str) -> None:
    stranger = new_buyer(1_000_000)
    mine = buyer.ask("/fixed", headers=named(buyer, "/fixed", identifier))

    theirs = stranger.ask("/fixed", headers=named(stranger, "/fixed", identifier))

    assert (mine.json()["payer"], theirs.json()["payer"]) == (buyer.address.lower(), stranger.address.lower())
    assert paid_urls.runs["fixed"] == 2


def test_what_was_never_paid_leaves_its_name_free(new_buyer: Callable[[int], Buyer], identifier: str) -> None:
    poor = new_buyer(9_999)
    refused = poor.ask("/fixed", headers=named(poor, "/fixed", identifier))

    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_funds")
    assert not Payment.objects.filter(payer=poor.address.lower()).exists()
