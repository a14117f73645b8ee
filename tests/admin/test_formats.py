"""How staff pages write amounts: exactly, in both units, with the sign that the ledger has."""

import doctest

import pytest

from billing.admin import charts
from billing.admin.charts import Chart, Series
from billing.admin.formats import amount_of, human, short_of
from billing.templatetags import amounts
from x402.admin import payments


@pytest.mark.parametrize(
    ("amount", "digits", "written"),
    [
        (0, 6, "0.000000"),
        (1, 6, "0.000001"),
        (-1, 6, "−0.000001"),
        (1_234_567_890, 6, "1,234.567890"),
        (2**63 - 1, 6, "9,223,372,036,854.775807"),
        (73_400_000_000, 15, "0.000073400000000"),
    ],
)
def test_an_amount_keeps_every_digit(amount: int, digits: int, written: str):
    assert human(amount, digits=digits) == written


def test_an_amount_is_written_in_both_units_and_a_debit_is_marked():
    assert amount_of(-2_000, denomination="eip155:84532/erc20:0xab") == (
        '<span class="loa-amount loa-debit">−0.002000 USDC</span> <span class="loa-atomic">(−2,000)</span>'
    )


def test_text_from_outside_is_escaped():
    assert "<script>" not in short_of("<script>alert(1)</script>")


def test_bars_stand_on_each_other_and_never_leave_the_drawing():
    chart = Chart("money", ["a", "b"], [Series("x", [3, 0]), Series("y", [7, 0])])

    bars = list(chart.bars)

    assert chart.top == 10
    assert [(bar.shade, bar.y, bar.height) for bar in bars] == [("bar-first", 112.0, 48.0), ("bar-second", 0.0, 112.0)]
    assert list(chart.table) == [("a", ("3", "7"))]


@pytest.mark.parametrize("module", [amounts, charts, payments])
def test_the_examples_in_the_documentation_hold(module):
    assert doctest.testmod(module).failed == 0
