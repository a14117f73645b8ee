"""Prices in integers: the quote rounds up, the charge rounds down, nothing is free and nothing is lost."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x402 import pricing
from x402.pricing import Quotation, Rounding, TokenPrice, actual_cost_micro_usd, maximum_cost_micro_usd, to_micro_usdc

GPT_MINI = TokenPrice(input_per_million=400_000, output_per_million=1_600_000)
COUNTS = st.integers(0, 10**7)
PRICES = st.builds(TokenPrice, st.integers(0, 10**9), st.integers(0, 10**9))


def test_a_metered_call_costs_what_the_catalogue_says():
    assert maximum_cost_micro_usd(GPT_MINI, input_tokens=1_000, max_output_tokens=500) == 1_200
    assert actual_cost_micro_usd(GPT_MINI, input_tokens=1_000, output_tokens=1) == 401


def test_the_quote_rounds_up_and_the_charge_rounds_down():
    assert maximum_cost_micro_usd(GPT_MINI, input_tokens=3, max_output_tokens=1) == 3
    assert actual_cost_micro_usd(GPT_MINI, input_tokens=3, output_tokens=1) == 2


def test_a_call_that_was_priced_is_never_free():
    assert actual_cost_micro_usd(TokenPrice(1, 1), input_tokens=1, output_tokens=0) == 1


def test_ten_thousand_small_calls_cost_exactly_their_sum():
    cost = actual_cost_micro_usd(TokenPrice(0, 45_000_000), input_tokens=0, output_tokens=1)

    assert cost * 10_000 == 450_000


@given(PRICES, COUNTS, COUNTS, st.data())
def test_the_charge_never_exceeds_the_quote(price, input_tokens, max_output_tokens, data):
    output_tokens = data.draw(st.integers(0, max_output_tokens))

    maximum = maximum_cost_micro_usd(price, input_tokens=input_tokens, max_output_tokens=max_output_tokens)
    actual = actual_cost_micro_usd(price, input_tokens=input_tokens, output_tokens=output_tokens)

    assert 1 <= actual <= maximum


@given(st.integers(0, 10**12), st.fractions(Fraction(1, 1000), 1000), st.sampled_from(Rounding))
def test_conversion_accounts_for_its_remainder(amount, rate, rounding):
    converted = to_micro_usdc(amount, rate=rate, rounding=rounding)

    assert converted.amount + converted.remainder == amount * rate
    assert abs(converted.remainder) < 1
    assert (converted.amount == 0) == (amount == 0)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50), st.fractions(Fraction(1, 100), 100))
def test_many_conversions_neither_make_nor_lose_money(amounts, rate):
    parts = [to_micro_usdc(amount, rate=rate, rounding=Rounding.DOWN) for amount in amounts]

    assert sum(part.amount + part.remainder for part in parts) == sum(amounts) * rate


@pytest.mark.parametrize(
    ("text", "amount"),
    [("$0.01", 10_000), ("$1", 1_000_000), ("$0.000001", 1), ("$12.5", 12_500_000), ("$9999999999.999999", 10**16 - 1)],
)
def test_a_fixed_price_is_written_in_dollars(text, amount):
    assert pricing.parse_price(text) == amount
    assert pricing.parse_price(pricing.format_price(amount)) == amount


@pytest.mark.parametrize(
    "text", ["0.01", "$", "$0", "$0.00", "$-1", "$1e3", "$01", "$0.0000001", "$１", "$ 1", "$1,00", "$1.", "€1", ""]
)
def test_a_price_with_a_typing_error_stops_the_start(text):
    with pytest.raises(ValueError, match="price"):
        pricing.parse_price(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("1", 1), ("0.9998", Fraction(9998, 10000)), ("9998/10000", Fraction(4999, 5000))]
)
def test_a_rate_is_an_exact_fraction(text, rate):
    assert pricing.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-1", "1/0", "nan", "1e3", "4294967296", "0.1234567891", "１"])
def test_a_rate_that_no_quote_could_carry_is_refused(text):
    with pytest.raises(ValueError, match="rate"):
        pricing.parse_rate(text)


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_a_quotation_is_a_positive_bigint(amount):
    with pytest.raises(ValueError, match="quotation"):
        Quotation(max_cost_micro_usdc=amount)


def test_token_counts_and_prices_are_not_negative():
    with pytest.raises(ValueError, match="token"):
        maximum_cost_micro_usd(GPT_MINI, input_tokens=-1, max_output_tokens=1)
    with pytest.raises(ValueError, match="price"):
        TokenPrice(-1, 0)
