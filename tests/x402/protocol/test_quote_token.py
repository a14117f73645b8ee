"""Quotes without rows: what was promised comes back, and only what one of our keys signed (R1, R20, faults 44)."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x402.protocol import quote_token
from x402.protocol.errors import QuoteRefused
from x402.protocol.quote_token import QuoteToken

KEYS = {"k1": b"first secret of 32 bytes or more!", "k2": b"second secret of 32 bytes or more"}
NOW = 1_800_000_000
QUOTE = QuoteToken(
    random=bytes(range(16)),
    request_hash=bytes(range(32)),
    max_cost_micro_usdc=2_000,
    price_version=3,
    rate=(9_998, 10_000),
    issued_at=NOW,
    expires_at=NOW + 300,
)
FULL = replace(QUOTE, trace_context=bytes(range(25)), wallet=b"\x11" * 20, credit_applied_micro_usdc=40)


def issue(quote=QUOTE, key_id="k1"):
    return quote_token.issue(quote, key_id=key_id, secret=KEYS[key_id])


def refusal_of(token, *, keys=KEYS, now=NOW):
    with pytest.raises(QuoteRefused) as refused:
        quote_token.read(token, keys=keys, now=now)
    return refused.value.reason


@pytest.mark.parametrize("quote", [QUOTE, FULL, replace(QUOTE, trace_context=bytes(25))])
def test_what_was_promised_comes_back(quote):
    assert quote_token.read(issue(quote), keys=KEYS, now=NOW) == quote


def test_the_fullest_token_fits_two_hundred_characters():
    largest = replace(FULL, max_cost_micro_usdc=2**64 - 1, price_version=2**32 - 1, rate=(2**32 - 1, 2**32 - 1))

    assert len(issue(largest)) <= 200


def test_the_last_second_of_a_quote_is_before_its_end():
    token = issue()

    assert quote_token.read(token, keys=KEYS, now=NOW + 299) == QUOTE
    assert refusal_of(token, now=NOW + 300) == "expired"


def test_an_ended_quote_is_still_authentic():
    assert quote_token.authenticate(issue(), keys=KEYS) == QUOTE


def test_keys_overlap_while_they_rotate():
    token = issue(key_id="k2")

    assert quote_token.read(token, keys=KEYS, now=NOW) == QUOTE
    assert refusal_of(token, keys={"k1": KEYS["k1"]}) == "unknown_key"


def test_a_key_of_the_same_name_but_another_secret_signs_nothing_of_ours():
    assert refusal_of(issue(), keys={"k1": KEYS["k2"]}) == "forged"


def test_every_flipped_bit_is_noticed():
    raw = base64.urlsafe_b64decode(issue(FULL) + "=" * (-len(issue(FULL)) % 4))

    for position in range(len(raw) * 8):
        forged = bytearray(raw)
        forged[position // 8] ^= 1 << position % 8
        token = base64.urlsafe_b64encode(bytes(forged)).rstrip(b"=").decode()
        assert refusal_of(token) in ("forged", "unknown_key")


def test_a_token_has_one_spelling():
    token = issue()
    last = token[-1]
    other_last = chr(ord(last) + 1)

    assert refusal_of(token + "=") == "forged"
    assert refusal_of(token + "\n") == "forged"
    assert refusal_of(token[:-1] + other_last) == "forged"
    assert refusal_of(token.replace("-", "+").replace("_", "/") + "x") == "forged"


@given(st.text() | st.text(alphabet="ABab01-_", max_size=210))
def test_no_text_raises_anything_but_a_refusal(token):
    assert refusal_of(token) in ("forged", "unknown_key")


def test_the_public_name_of_a_quote_does_not_give_its_token_away():
    token = issue()

    assert QUOTE.quote_id == replace(QUOTE, max_cost_micro_usdc=1).quote_id
    assert len(QUOTE.quote_id) == 30
    assert QUOTE.quote_id[4:] not in token
    assert QUOTE.quote_id != replace(QUOTE, random=bytes(16)).quote_id


def test_stored_hash_and_derived_nonce_differ_and_depend_on_the_whole_token():
    one, other = issue(), issue(replace(QUOTE, price_version=4))

    assert quote_token.token_hash(one) != quote_token.token_hash(other)
    assert quote_token.derived_nonce(one) != quote_token.derived_nonce(other)
    assert quote_token.derived_nonce(one).hex() != quote_token.token_hash(one)
    assert len(quote_token.derived_nonce(one)) == 32


@pytest.mark.parametrize(
    "changes",
    [
        {"random": bytes(15)},
        {"request_hash": bytes(31)},
        {"max_cost_micro_usdc": 2**64},
        {"max_cost_micro_usdc": -1},
        {"price_version": 2**32},
        {"rate": (2**32, 1)},
        {"expires_at": NOW - 1},
        {"expires_at": NOW + 70_000},
        {"trace_context": bytes(24)},
        {"wallet": bytes(20)},
        {"credit_applied_micro_usdc": 1},
        {"wallet": bytes(19), "credit_applied_micro_usdc": 1},
        {"wallet": bytes(20), "credit_applied_micro_usdc": 2_001},
    ],
)
def test_a_quote_that_does_not_fit_is_not_issued(changes):
    with pytest.raises(ValueError, match=r"a quote|credit|wallet|trace"):
        issue(replace(QUOTE, **changes))


def test_credit_lowers_what_is_paid_on_the_chain():
    assert FULL.amount_micro_usdc == 1_960
