"""Calls in one call: the bytes of the reference ABI encoder, and answers that are read or refused."""

import pytest
from eth_abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from x402.chain import abi, multicall

ADDRESSES = st.binary(min_size=20, max_size=20)
CALLS = st.lists(st.tuples(ADDRESSES, st.binary(max_size=100)), max_size=8)


@given(CALLS)
def test_our_calldata_is_the_reference_encoders(calls):
    expected = encode(["(address,bool,bytes)[]"], [[("0x" + to.hex(), True, data) for to, data in calls]])

    assert multicall.encode_aggregate3(calls) == multicall.AGGREGATE3 + expected


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=8))
def test_answers_of_the_reference_encoder_are_read_back(results):
    answer = encode(["(bool,bytes)[]"], [results])

    assert multicall.decode_aggregate3(answer, count=len(results)) == results


@given(st.binary(max_size=400), st.integers(0, 5))
def test_no_answer_raises_anything_but_unreadable(answer, count):
    try:
        results = multicall.decode_aggregate3(answer, count=count)
    except abi.UnreadableAnswer:
        return
    assert len(results) == count


def test_an_answer_for_another_number_of_calls_is_refused():
    with pytest.raises(abi.UnreadableAnswer):
        multicall.decode_aggregate3(encode(["(bool,bytes)[]"], [[(True, b"")]]), count=2)


def test_addresses_may_be_text_or_bytes():
    text, raw = "0x" + "ab" * 20, bytes.fromhex("ab" * 20)

    assert multicall.encode_aggregate3([(text, b"")]) == multicall.encode_aggregate3([(raw, b"")])
    [(address, allowed, data)] = decode(["(address,bool,bytes)[]"], multicall.encode_aggregate3([(raw, b"x")])[4:])[0]
    assert (address, allowed, data) == (text, True, b"x")


@pytest.mark.parametrize("text", ["", "0x", "0x" + "ab" * 19, "0x" + "ab" * 21, "0x" + "zz" * 20])
def test_what_is_not_an_address_is_refused(text):
    with pytest.raises(ValueError, match=r"address|hexadecimal"):
        abi.address_of(text)


def test_selectors_and_topics_are_the_known_ones():
    from x402.chain import tokens

    assert tokens.TRANSFER_BY_PARTS.hex() == "e3ee160e"
    assert tokens.TRANSFER_BY_BYTES.hex() == "cf092995"
    assert tokens.BALANCE_OF.hex() == "70a08231"
    assert tokens.AUTHORIZATION_STATE.hex() == "e94a0102"
    assert multicall.AGGREGATE3.hex() == "82ad56cb"
    assert tokens.TRANSFER_TOPIC == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert tokens.AUTHORIZATION_USED_TOPIC == "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
