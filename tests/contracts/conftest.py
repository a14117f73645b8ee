"""A web3 connection to the run's chain, and the local token as a contract."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from web3 import HTTPProvider, Web3
from web3.contract import Contract

import contracts


@pytest.fixture
def chain() -> Iterator[Web3]:
    """The chain; whatever the test changes is undone afterwards."""
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")
    [url] = settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"]
    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 10}))
    snapshot = web3.provider.make_request("evm_snapshot", [])["result"]
    yield web3
    web3.provider.make_request("evm_revert", [snapshot])


@pytest.fixture
def usdc(chain: Web3) -> Contract:
    return chain.eth.contract(address=contracts.USDC_ADDRESS, abi=contracts.load("LocalUSDC").abi)
