"""Ids: their shape, their order, their randomness."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from telemetry.identifiers import BASE62, base62, new_id, new_payment_id


def test_an_id_is_its_prefix_and_a_ulid() -> None:
    assert re.fullmatch(r"jrn_[0-9A-HJKMNP-TV-Z]{26}", new_id("jrn"))


def test_ids_sort_by_their_birth() -> None:
    earlier = new_id("acc")
    time.sleep(0.002)

    assert earlier < new_id("acc")


def test_payment_ids_are_26_characters_and_never_the_same() -> None:
    ids = {new_payment_id() for _ in range(10_000)}

    assert len(ids) == 10_000
    assert all(re.fullmatch(r"pay_[0-9A-Za-z]{22}", payment_id) for payment_id in ids)


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_base62_loses_nothing_of_128_bits(number: int) -> None:
    read = 0
    for digit in base62(number, digits=22):
        read = read * 62 + BASE62.index(digit)

    assert read == number
