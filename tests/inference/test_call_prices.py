"""What a call costs, to the unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.prices import PriceVersion, Usage, billable_usage
from x402.pricing import TokenPrice

MINI = PriceVersion(1, TokenPrice(input_per_million=400_000, output_per_million=1_600_000))
TOKENS = st.integers(0, 1_000_000)


def test_the_maximum_rounds_up_and_the_charge_rounds_down():
    usage = Usage(input_tokens=3, output_tokens=2)  # 1.2 + 3.2 MicroUSD

    assert MINI.maximum_cost(usage) == 5
    assert MINI.actual_cost(usage) == 4


def test_ten_thousand_calls_of_45_units_cost_450_000():
    sonnet = PriceVersion(1, TokenPrice(input_per_million=3_000_000, output_per_million=15_000_000))

    assert sum(sonnet.actual_cost(Usage(5, 2)) for _ in range(10_000)) == 450_000


def test_a_call_that_rounds_to_nothing_costs_one_unit():
    assert MINI.actual_cost(Usage(input_tokens=1, output_tokens=0)) == 1


@given(st.integers(0, 10**12), st.integers(0, 10**12), TOKENS, TOKENS, TOKENS, TOKENS)
def test_what_is_charged_never_exceeds_what_was_quoted(
    input_price, output_price, read, written, more_read, more_written
):
    version = PriceVersion(1, TokenPrice(input_price, output_price))
    consumed = Usage(read, written)
    allowed = Usage(read + more_read, written + more_written)

    assert 1 <= version.actual_cost(consumed) <= version.maximum_cost(allowed)


@pytest.mark.parametrize(
    ("reported", "billed"),
    [
        (Usage(8, 4), Usage(8, 4)),
        (Usage(9_999, 4), Usage(10, 4)),
        (Usage(8, 9_999), Usage(8, 5)),
        (Usage(0, 0), Usage(0, 0)),
    ],
)
def test_an_upstream_that_overstates_is_believed_up_to_the_quote_and_to_what_arrived(reported, billed):
    assert billable_usage(reported, quoted=Usage(10, 100), answer="héy!") == billed
