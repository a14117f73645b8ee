"""Buyers and the chain, as on the payment side."""

from tests.x402.conftest import _forget_other_tests, buyer, chain, new_buyer

__all__ = ["_forget_other_tests", "buyer", "chain", "new_buyer"]
