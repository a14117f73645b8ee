"""Fixtures of the payment side: the local chain, and buyers a test has for itself."""

import secrets
from collections.abc import Callable

import pytest
from django.conf import settings

from tests.x402 import paid_urls
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member
from tests.x402.refunding import FINAL_BLOCKS, FLOAT


@pytest.fixture(autouse=True)
def _forget_other_tests() -> None:
    """Nothing is remembered of another test's views."""
    paid_urls.runs.clear()
    paid_urls.gate.set()


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])


@pytest.fixture
def new_buyer(chain: LocalChain) -> Callable[[int], Buyer]:
    """A wallet nobody used before, with as many MicroUSDC as asked for."""

    def make(balance_micro_usdc: int = 1_000_000) -> Buyer:
        buyer = Buyer("0x" + secrets.token_hex(32))
        if balance_micro_usdc:
            chain.mint(buyer.address, balance_micro_usdc)
        return buyer

    return make


@pytest.fixture
def buyer(new_buyer: Callable[[int], Buyer]) -> Buyer:
    return new_buyer(1_000_000)


@pytest.fixture
def member(new_buyer: Callable[[int], Buyer]) -> Member:
    """A wallet with an owed note of 2,000 and a change note of 1,300 MicroUSDC, not final yet; signed in."""
    buyer = new_buyer(1_000_000)
    buyer.buy("/failing")
    buyer.buy("/metered", {"n": 1})
    return Member(buyer)


@pytest.fixture
def final(member: Member, chain: LocalChain) -> Member:
    """The same when its payments are final, and a float that can pay it."""
    chain.mint(FLOAT, 1_000_000_000)
    chain.mine(FINAL_BLOCKS)
    return member
