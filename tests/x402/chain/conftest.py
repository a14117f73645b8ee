"""A real chain for these tests: the runner's, with wallets and authorizations a test has for itself."""

import os
import secrets
import time
from dataclasses import dataclass, field

import pytest
from eth_account import Account

import contracts
from loa_site.local import genesis, wallets
from outbound.json_rpc import RpcClient
from tests.x402.protocol.signing import DOMAIN, PAY_TO, TRANSFER
from x402.chain import abi, multicall, transactions
from x402.protocol.payload import Authorization

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
USDC = contracts.USDC_ADDRESS
FAR_FUTURE = 2**40
CANCEL = {
    "CancelAuthorization": [{"name": "authorizer", "type": "address"}, {"name": "nonce", "type": "bytes32"}],
}


@dataclass
class Payer:
    """A wallet nobody used before. Amounts in MicroUSDC."""

    key: object = field(default_factory=lambda: Account.from_key(secrets.token_bytes(32)))

    @property
    def address(self):
        return self.key.address

    def signs(self, value=1_000, *, to=PAY_TO, nonce=None):
        """An authorization this wallet signed."""
        nonce = nonce or secrets.token_bytes(32)
        message = {"from": self.address, "to": to, "value": value, "validAfter": 0, "validBefore": FAR_FUTURE}
        signature = self.key.sign_typed_data(DOMAIN, TRANSFER, message | {"nonce": nonce}).signature
        return Authorization(
            from_=bytes.fromhex(self.address[2:]),
            to=bytes.fromhex(to[2:]),
            value=value,
            valid_after=0,
            valid_before=FAR_FUTURE,
            nonce=nonce,
            signature=bytes(signature),
        )

    def cancels(self, nonce):
        """Calldata that cancels a nonce of this wallet."""
        signed = self.key.sign_typed_data(DOMAIN, CANCEL, {"authorizer": self.address, "nonce": nonce})
        signature = bytes(signed.signature)
        return (
            abi.selector("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)")
            + abi.word(bytes.fromhex(self.address[2:]))
            + nonce
            + abi.word(signature[64])
            + signature[:64]
        )


class Chain:
    """The local chain, and an account of this test's own that carries transactions."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.carrier = transactions.Signer(secrets.token_hex(32))
        rpc.call("anvil_setBalance", [self.carrier.address, hex(10**19)])

    def payer(self, balance=1_000):
        payer = Payer()
        slot = genesis.mapping_slot(payer.address, contracts.load("LocalUSDC").storage_slots["balanceOf"])
        self.rpc.call("anvil_setStorageAt", [USDC, slot, genesis.word(balance)])
        return payer

    def carries(self, to, data, *, gas_limit=1_500_000):
        """Send one transaction and return its receipt."""
        signed = self.carrier.sign(
            transactions.Unsigned(
                chain_id=84532,
                nonce=transactions.next_nonce(self.rpc, self.carrier.address),
                to=to,
                data=data,
                gas_limit=gas_limit,
                fees=transactions.current_fees(self.rpc),
            )
        )
        transactions.send(self.rpc, signed.raw)
        return self.receipt_of(signed.transaction_hash)

    def receipt_of(self, transaction_hash):
        """The receipt, which an instantly mining node has a moment after it took the transaction."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            receipt = self.rpc.call("eth_getTransactionReceipt", [transaction_hash])
            if receipt is not None:
                return receipt
            time.sleep(0.002)
        raise AssertionError(f"{transaction_hash} was not mined")

    def carries_batch(self, calls):
        return self.carries(MULTICALL3, multicall.encode_aggregate3(calls))

    def height(self):
        return int(self.rpc.call("eth_blockNumber"), 16)


@pytest.fixture
def rpc():
    url = os.environ.get("RPC_URL")
    if not os.environ.get("LOA_TEST_SERVICES") or not url:
        pytest.skip("needs services: run `python -m loa_site.local test`")
    return RpcClient([url])


@pytest.fixture
def chain(rpc):
    return Chain(rpc)


@pytest.fixture
def minter():
    return wallets.master_minter()
