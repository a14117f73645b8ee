"""A price in MicroUSDC is held and charged from a prepaid balance, which is MicroUSD, at the rate of that price."""

import pytest

from tests.x402.test_key_payments import program

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


def test_a_call_is_held_and_charged_at_the_rate_of_its_price() -> None:
    """0.8 MicroUSDC are one MicroUSD: 2,000 MicroUSDC are 2,500 MicroUSD, and 700 are 875."""
    caller = program(balance=2_500)

    response = caller.ask("/converted")

    assert (response.status_code, response.json()) == (200, {"maximum": 2_000})
    assert (caller.balance, caller.held, caller.spent_today) == (2_500 - 875, 0, 875)


def test_the_balance_must_cover_the_price_at_its_rate() -> None:
    caller = program(balance=2_499)

    response = caller.ask("/converted")

    assert (response.status_code, response.json()["required_micro_usd"]) == (402, "2500")
    assert (caller.balance, caller.held) == (2_499, 0)
