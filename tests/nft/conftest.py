"""A local index and the local chain, with collections of the test's own."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from eth_account import Account

import contracts
from tests.nft.holders import Holder
from tests.nft.index_server import KEY, IndexServer, Reply, page
from tests.x402.chain_tools import LocalChain

CHAIN = "eip155:84532"
AGENTS = contracts.LOCAL_AGENTS_ADDRESS
PASSES = contracts.LOCAL_PASSES_ADDRESS
DELEGATES = contracts.LOCAL_DELEGATES_ADDRESS
CONTRACTS = {AGENTS: "LocalAgents", PASSES: "LocalPasses", DELEGATES: "LocalDelegateRegistry"}


@pytest.fixture
def wallet() -> str:
    return "0x" + secrets.token_hex(20)


@pytest.fixture
def index() -> Iterator[IndexServer]:
    """An index that knows no tokens until the test says otherwise."""
    server = IndexServer(lambda _query: Reply(page()))
    yield server
    server.stop()


@pytest.fixture
def configured(settings: LazySettings, index: IndexServer) -> Callable[..., None]:
    """Collections and chains as the settings would name them; the key only when the index is used."""

    def configure(*, collections: dict[str, dict[str, Any]] | None = None, has_index: bool = True) -> None:
        known = collections or {
            f"{CHAIN}/erc721:{AGENTS}": {"name": "Local Agent"},
            f"{CHAIN}/erc1155:{PASSES}": {"name": "Local Pass"},
        }
        settings.LOA = {
            **settings.LOA,
            "ALCHEMY_API_KEY": KEY if has_index else "",
            "NFT_COLLECTIONS": known,
            "NFT_CHAINS": {CHAIN: {"alchemy_url": index.url}},
            "OUTBOUND_TRUSTED_HOSTS": [index.url.removeprefix("http://")],
            "REDIS_KEY_PREFIX": f"nft-{secrets.token_hex(4)}:",
        }

    configure()
    return configure


@pytest.fixture
def chain(settings: LazySettings) -> LocalChain:
    return LocalChain(settings.LOA["NETWORKS"][CHAIN]["rpc_urls"][0])


@pytest.fixture
def mint(chain: LocalChain) -> Callable[..., None]:
    """Give a wallet tokens, as anybody may on the local chain."""
    from web3 import Web3

    sender = Account.create()

    def call(contract: str, name: str, *arguments: Any) -> None:
        abi = contracts.load("LocalAgents" if contract == AGENTS else "LocalPasses").abi
        address = Web3.to_checksum_address(contract)
        target = Web3().eth.contract(address=address, abi=abi)
        given = [Web3.to_checksum_address(one) if isinstance(one, str) else one for one in arguments]
        chain.send_mined(sender.key.hex(), address, target.encode_abi(name, given))

    return call


@pytest.fixture
def send_to(chain: LocalChain) -> Callable[..., None]:
    """Call a contract as a holder, and wait until it is mined."""
    from web3 import Web3

    def send(holder: Holder, contract: str, name: str, *arguments: Any) -> None:
        abi = contracts.load(CONTRACTS[contract]).abi
        address = Web3.to_checksum_address(contract)
        target = Web3().eth.contract(address=address, abi=abi)
        given = [_as_address(one) for one in arguments]
        chain.send_mined(holder.private_key, address, target.encode_abi(name, given))

    return send


def _as_address(argument: Any) -> Any:
    """Addresses in the spelling that web3 asks for; everything else as it is."""
    from web3 import Web3

    is_address = isinstance(argument, str) and len(argument) == 42 and argument.startswith("0x")
    return Web3.to_checksum_address(argument) if is_address else argument
