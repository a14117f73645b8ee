"""What the official Python SDK emits, kept as vectors: its payments parse and hold here, and it read our headers.

The vectors were made by its client from our own challenge; `*_read_back` is what its parsers made of what we emit.
"""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.x402.protocol.signing import requirements
from x402.protocol import headers, quote_token, siwx
from x402.protocol.payload import read_payload
from x402.protocol.requirements import Resource, payment_required_v1, payment_required_v2, require_accepted
from x402.protocol.response import SettleResponse
from x402.protocol.schemes import exact_eip3009, exact_permit2, upto

VECTORS = json.loads((Path(__file__).parents[2] / "contracts/vectors/official_python_sdk.json").read_text())
QUOTED = {"name": "USDC", "version": "2", "quote": VECTORS["quote"]}
RESOURCE = Resource(url="https://shop.example/report/7", description="A report", mime_type="application/json")
FACILITATOR = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def payload_of(name):
    form = "x_payment" if name == "exact_v1" else "payment_signature"
    values = {"payment_signature": None, "x_payment": None} | {form: VECTORS[name]}
    return read_payload(headers.read_payment(**values))


@pytest.mark.parametrize("name", ["exact_v2", "exact_v1"])
def test_an_eip_3009_payment_of_the_official_client_holds(name):
    payment = payload_of(name).exact

    exact_eip3009.require_valid(requirements(extra=QUOTED), payment, now=payment.valid_before - 250)

    assert "0x" + payment.from_.hex() == VECTORS["payer"].lower()


def test_the_official_client_echoes_our_terms_and_our_quote():
    payment = payload_of("exact_v2")

    require_accepted(requirements(extra=QUOTED), payment.accepted)

    assert payment.quote_token == VECTORS["quote"]
    assert payment.resource_url == RESOURCE.url


def test_a_permit2_payment_of_the_official_client_holds():
    payment = payload_of("permit2_v2").authorization
    terms = requirements(extra=QUOTED | {"assetTransferMethod": "permit2"})

    exact_permit2.require_valid(terms, payment, now=payment.deadline - 250)


def test_an_upto_payment_of_the_official_client_holds():
    payment = payload_of("upto_v2").authorization
    terms = requirements(scheme="upto", extra=QUOTED)

    upto.require_valid(terms, payment, relayers=[bytes.fromhex(FACILITATOR[2:])], now=payment.deadline - 250)


def test_the_official_parser_read_our_challenge_as_we_meant_it():
    terms = payment_required_v2(
        [requirements(extra=QUOTED)],
        resource=RESOURCE,
        error="payment_required",
        extensions={"payment-identifier": {"info": {"required": False}, "schema": {}}},
    )

    assert json.loads(base64.b64decode(VECTORS["required"])) == terms == VECTORS["required_read_back"]
    assert VECTORS["required_body_v1"] == payment_required_v1(
        [requirements(extra=QUOTED)], resource=RESOURCE, error="payment_required"
    )


def test_the_official_parser_read_our_receipts_as_we_meant_them():
    v2 = SettleResponse(
        True,
        "eip155:84532",
        transaction="0x" + "ab" * 32,
        payer="0x" + "11" * 20,
        amount=2_000,
        extensions={"loa": {"payment_id": "pay_x"}},
    )

    assert headers.encode_object(v2.to_v2()) == VECTORS["settle_v2"]
    assert VECTORS["settle_v2_read_back"] == v2.to_v2()
    assert VECTORS["settle_v1_read_back"] == v2.to_v1()


def test_the_official_sign_in_message_and_header_are_ours_too():
    proof = siwx.read_header(VECTORS["siwx_header"])

    wallet = siwx.require_valid(proof, origin="https://shop.example", now=datetime(2027, 1, 15, 8, 1, tzinfo=UTC))

    assert proof.message == VECTORS["siwx_message"]
    assert "0x" + wallet.hex() == VECTORS["payer"].lower()


def test_the_quote_in_the_vectors_is_still_readable():
    quote = quote_token.read(VECTORS["quote"], keys={"k1": b"secret" * 6}, now=1_800_000_000)

    assert (quote.max_cost_micro_usdc, quote.price_version, quote.expires_at) == (2_000, 3, 1_800_000_300)
