"""Units never mix, nothing is lost by dividing, and what is no whole number is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.errors import InvalidAmount, UnitMismatch
from billing.domain.money import (
    LARGEST,
    CreditUnit,
    KiloWei,
    MicroUSD,
    MicroUSDC,
    Rounding,
    convert,
    kilo_wei_of,
    micro_usd_of,
    split,
)

NOT_AMOUNTS = [True, 1.0, float("nan"), "1e3", "0x1", " 1", "１", None, 2**63, -(2**63), 10**30, Fraction(1, 2)]


@pytest.mark.parametrize("value", NOT_AMOUNTS)
def test_what_is_no_whole_number_of_63_bits_is_no_amount(value):
    with pytest.raises(InvalidAmount):
        MicroUSDC(value)


def test_amounts_of_two_units_have_no_sum_and_no_order():
    with pytest.raises(UnitMismatch):
        MicroUSDC(1) + MicroUSD(1)
    with pytest.raises(UnitMismatch):
        _ = MicroUSDC(1) < KiloWei(2)
    assert MicroUSDC(1) != MicroUSD(1)


def test_a_sum_beyond_63_bits_is_refused():
    with pytest.raises(InvalidAmount):
        MicroUSDC(LARGEST) + MicroUSDC(1)


@given(st.integers(-(10**12), 10**12), st.fractions(min_value=Fraction(1, 10**6), max_value=10**6))
def test_a_conversion_and_its_remainder_are_the_exact_product(units, rate):
    for rounding, sign in ((Rounding.UP, 1), (Rounding.DOWN, -1)):
        converted = convert(MicroUSDC(units), to=MicroUSD, rate=rate, rounding=rounding)

        assert converted.amount.units - converted.remainder == units * rate
        assert 0 <= converted.remainder * sign < 1


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(lambda w: sum(w) > 0))
def test_parts_sum_to_the_whole_and_none_is_off_by_one(total, weights):
    parts = split(total, weights)

    assert sum(parts) == total
    assert all(
        abs(part - Fraction(total * weight, sum(weights))) < 1 for part, weight in zip(parts, weights, strict=True)
    )


def test_gas_is_rounded_up_and_twenty_coins_fit_one_column():
    assert kilo_wei_of(1) == KiloWei(1)
    assert kilo_wei_of(2_000) == KiloWei(2)
    assert kilo_wei_of(20 * 10**18) == KiloWei(20 * 10**15)


def test_ten_thousand_calls_of_45_micro_dollars_cost_450_000():
    assert MicroUSD(45) * 10_000 == MicroUSD(450_000)
    assert micro_usd_of(CreditUnit(500)) == MicroUSD(5_000_000)
