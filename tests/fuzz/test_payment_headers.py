"""Payment headers changed at random at every layer: each is read or refused in the protocol's own words."""

import collections
import json
import random
from typing import Any

import pytest

from tests.fuzz import mutations
from tests.x402.protocol.signing import document_v1, document_v2
from x402.protocol import headers, quote_token
from x402.protocol.errors import ProtocolError
from x402.protocol.payload import Payload, read_document, read_payload

pytestmark = pytest.mark.fuzz

SHORT, LONG = 20_000, 1_000_000
WORD, WALLET = "0x" + "ab" * 32, "0x" + "cd" * 20
SECRET = b"s" * 32

PERMIT2 = {
    "permitted": {"token": WALLET, "amount": "2000"},
    "from": WALLET,
    "spender": WALLET,
    "nonce": "7",
    "deadline": "1900000000",
    "witness": {"to": WALLET, "validAfter": "0", "facilitator": WALLET},
}
REFERENCE = {
    "quote_id": "quo_7",
    "chain_id": 84532,
    "authorization": {
        "from": WALLET,
        "to": WALLET,
        "value": "2000",
        "valid_after": 0,
        "valid_before": 1_900_000_000,
        "nonce": WORD,
        "v": 27,
        "r": WORD,
        "s": WORD,
    },
}


def permit2_document() -> dict:
    document = document_v2()
    document["payload"] = {"signature": "0x" + "11" * 65, "permit2Authorization": PERMIT2}
    document["accepted"]["extra"]["assetTransferMethod"] = "permit2"
    return document


def documents() -> list[dict]:
    named = document_v2(extensions={"payment-identifier": {"info": {"id": "a" * 16}}})
    return [document_v2(), named, permit2_document(), document_v1(), REFERENCE]


def read_one(document: dict, dice: random.Random) -> str:
    """Change a document, send it as a header or as a facilitator's document, and say what became of it."""
    line = mutations.header_of(document, dice, changes=dice.randrange(16))
    if document is REFERENCE and dice.randrange(2):
        line = mutations.changed_line(json.dumps(mutations.changed_document(document, dice)), dice)
    is_v2 = ("accepted" in document) != (dice.randrange(50) == 0)
    try:
        header = headers.read_payment(
            payment_signature=line if is_v2 else None, x_payment=None if is_v2 else line, max_bytes=16_384
        )
        assert header is not None
        payload = read_payload(header)
    except ProtocolError as refusal:
        return refusal.code if refusal.detail.isprintable() else "unprintable"
    require_one_reading(payload)
    return "read"


def require_one_reading(payload: Payload) -> None:
    """What was read is written and read again to the same payment, and its fields have their sizes."""
    signed = payload.authorization
    again = headers.decode_object(headers.encode_object(payload.document), name="again", max_bytes=65_536)
    if "x402Version" in again:
        assert read_document(again).authorization == signed
    assert 0 <= signed.value < 2**256
    assert len(signed.nonce_bytes) == 32
    assert payload.network.startswith("eip155:")
    assert payload.payment_identifier is None or payload.payment_identifier.isascii()


@pytest.mark.timeout(3_600)
def test_a_changed_payment_header_is_read_or_refused_by_name(
    dice: random.Random, is_long: bool, figures: dict[str, Any]
) -> None:
    tries = LONG if is_long else SHORT
    good = documents()

    outcomes = collections.Counter(read_one(dice.choice(good), dice) for _ in range(tries))

    figures["changed_headers"] = dict(outcomes)
    print(f"{tries} changed payment headers: {dict(outcomes.most_common())}")
    assert outcomes.total() == tries
    assert set(outcomes) <= {
        "read",
        "ambiguous_payment",
        "invalid_payment_header",
        "payment_header_too_large",
        "invalid_x402_version",
        "invalid_payload",
        "invalid_network",
        "unsupported_scheme",
    }
    assert outcomes["read"] > tries // 100
    assert len(outcomes) >= 6


@pytest.mark.timeout(3_600)
def test_a_changed_quote_token_is_no_quote(dice: random.Random, is_long: bool) -> None:
    quote = quote_token.QuoteToken(b"r" * 16, b"h" * 32, 2_000, 1, (1, 1), issued_at=1_000, expires_at=1_300)
    traced = quote_token.QuoteToken(
        b"r" * 16, b"h" * 32, 2_000, 1, (1, 1), 1_000, 1_300, b"t" * 25, wallet=b"w" * 20, credit_applied_micro_usdc=5
    )
    tokens = [quote_token.issue(one, key_id="k", secret=SECRET) for one in (quote, traced)]
    refused: collections.Counter[str] = collections.Counter()

    for _ in range(100_000 if is_long else 5_000):
        token = dice.choice(tokens)
        changed = mutations.changed_line(token, dice)
        quote_token.token_hash(changed)
        quote_token.derived_nonce(changed)
        try:
            quote_token.read(changed, keys={"k": SECRET}, now=1_100)
        except quote_token.QuoteRefused as refusal:
            refused[refusal.reason] += 1
        else:
            assert changed in tokens

    assert set(refused) == {"forged", "unknown_key"}
