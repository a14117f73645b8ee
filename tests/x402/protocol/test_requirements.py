"""The terms on the wire, and whether a payer accepted them (x402 v2 matching rule, attack 1, faults 41)."""

import json

import pytest

from tests.x402.protocol.signing import PAY_TO, USDC, requirements
from x402.protocol import networks
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import read_accepted
from x402.protocol.requirements import (
    Resource,
    is_same_json,
    payment_required_v1,
    payment_required_v2,
    require_accepted,
    require_extension_echo,
)
from x402.protocol.response import SettleResponse, VerifyResponse

RESOURCE = Resource(url="https://shop.example/report/7", description="A report", mime_type="application/json")


def test_version_2_terms_have_the_specifications_fields():
    assert payment_required_v2([requirements()], resource=RESOURCE, error="insufficient_funds") == {
        "x402Version": 2,
        "error": "insufficient_funds",
        "resource": {
            "url": "https://shop.example/report/7",
            "description": "A report",
            "mimeType": "application/json",
        },
        "accepts": [
            {
                "scheme": "exact",
                "network": "eip155:84532",
                "asset": USDC,
                "amount": "2000",
                "payTo": PAY_TO,
                "maxTimeoutSeconds": 300,
                "extra": {"name": "USDC", "version": "2"},
            }
        ],
    }


def test_version_1_terms_have_every_field_its_client_needs():
    assert payment_required_v1([requirements()], resource=Resource(url="https://a.example/"), error="x") == {
        "x402Version": 1,
        "error": "x",
        "accepts": [
            {
                "scheme": "exact",
                "network": "base-sepolia",
                "maxAmountRequired": "2000",
                "resource": "https://a.example/",
                "description": "",
                "mimeType": "application/json",
                "payTo": PAY_TO,
                "maxTimeoutSeconds": 300,
                "asset": USDC,
                "extra": {"name": "USDC", "version": "2"},
            }
        ],
    }


@pytest.mark.parametrize(
    "offer",
    [
        requirements(network="eip155:31337"),
        requirements(network="eip155:42220"),
        requirements(scheme="upto"),
        requirements(extra={"assetTransferMethod": "permit2"}),
    ],
)
def test_version_1_clients_never_see_an_offer_they_would_choke_on(offer):
    terms = payment_required_v1([offer, requirements()], resource=RESOURCE, error="x")

    assert [item["network"] for item in terms["accepts"]] == ["base-sepolia"]


def test_terms_never_hold_a_null():
    text = json.dumps(
        [payment_required_v2([requirements()], resource=Resource("u")), requirements().to_v1(Resource("u"))]
    )

    assert "null" not in text


def accepted(**changes):
    return read_accepted(requirements().to_v2() | changes)


def test_an_exact_echo_is_accepted_with_extras_of_the_clients_own():
    require_accepted(requirements(), accepted(extra={"name": "USDC", "version": "2", "more": {"a": 1}}))
    require_accepted(requirements(), accepted(asset=USDC.lower(), payTo=PAY_TO.lower()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scheme": "upto"}, "unsupported_scheme"),
        ({"network": "eip155:8453"}, "invalid_network"),
        ({"amount": "1999"}, "invalid_payment_requirements"),
        ({"amount": "2001"}, "invalid_payment_requirements"),
        ({"asset": "0x" + "77" * 20}, "invalid_payment_requirements"),
        ({"asset": "usdc"}, "invalid_payload"),
        ({"payTo": "0x" + "77" * 20}, "invalid_payment_requirements"),
        ({"maxTimeoutSeconds": 301}, "invalid_payment_requirements"),
        ({"extra": {}}, "invalid_payment_requirements"),
        ({"extra": {"name": "USDC"}}, "invalid_payment_requirements"),
        ({"extra": {"name": "USDC", "version": 2}}, "invalid_payment_requirements"),
        ({"extra": {"name": "Fake", "version": "2"}}, "invalid_payment_requirements"),
    ],
)
def test_altered_terms_are_refused_with_the_specifications_reason(changes, reason):
    with pytest.raises(PaymentRefused) as refused:
        require_accepted(requirements(), accepted(**changes))

    assert refused.value.reason == reason


def test_true_is_not_one():
    assert not is_same_json(True, 1)
    assert not is_same_json([{"a": 0}], [{"a": False}])
    assert is_same_json({"a": [1, True, None]}, {"a": [1, True, None]})


@pytest.mark.parametrize(
    ("echoed", "is_refused"),
    [
        ({}, False),
        ({"payment-identifier": {"info": {"required": False, "id": "x" * 16}}}, False),
        ({"payment-identifier": {"info": {"required": True}}}, True),
        ({"payment-identifier": {"info": {}}}, True),
        ({"payment-identifier": "gone"}, True),
    ],
)
def test_an_extension_may_be_left_out_or_added_to_but_not_changed(echoed, is_refused):
    advertised = {"payment-identifier": {"info": {"required": False}, "schema": {}}}

    if not is_refused:
        require_extension_echo(advertised, echoed)
        return
    with pytest.raises(PaymentRefused) as refused:
        require_extension_echo(advertised, echoed)

    assert refused.value.reason == "extension_echo_mismatch"


@pytest.mark.parametrize(
    ("name", "caip2"),
    [
        ("base-sepolia", "eip155:84532"),
        ("eip155:84532", "eip155:84532"),
        ("base", "eip155:8453"),
        ("Base", None),
        ("eip155:0", None),
        ("eip155:01", None),
        ("solana", None),
        ("", None),
    ],
)
def test_two_spellings_of_a_network_are_one(name, caip2):
    assert networks.caip2_of(name) == caip2


def test_every_network_name_maps_back_to_itself():
    for name, chain_id in networks.CHAIN_ID_BY_V1_NAME.items():
        assert networks.v1_name_of(f"eip155:{chain_id}") == name
        assert networks.chain_id_of(f"eip155:{chain_id}") == chain_id
    assert networks.CHAIN_ID_BY_V1_NAME.keys() > networks.V1_NAMES_CLIENTS_ACCEPT


def test_a_receipt_says_transaction_even_when_there_is_none():
    refused = SettleResponse(success=False, network="eip155:84532", error_reason="settlement_pending")

    assert refused.to_v2() == {
        "success": False,
        "transaction": "",
        "network": "eip155:84532",
        "errorReason": "settlement_pending",
    }


def test_a_receipt_speaks_the_clients_version():
    paid = SettleResponse(True, "eip155:84532", transaction="0xab", payer="0xcd", amount=700, extensions={"loa": {}})

    assert paid.to_v1() == {"success": True, "transaction": "0xab", "network": "base-sepolia", "payer": "0xcd"}
    assert paid.to_v2() == {
        "success": True,
        "transaction": "0xab",
        "network": "eip155:84532",
        "payer": "0xcd",
        "amount": "700",
        "extensions": {"loa": {}},
    }


def test_a_verification_says_why_not():
    assert VerifyResponse(False, payer="0xab", invalid_reason="invalid_network").to_json() == {
        "isValid": False,
        "invalidReason": "invalid_network",
        "payer": "0xab",
    }
