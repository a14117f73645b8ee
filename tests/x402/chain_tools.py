"""What a test does to the local chain directly, over its JSON-RPC: mint, read balances, mine, turn the clock."""

import http.client
import itertools
import json
import time
from typing import Any

from eth_account import Account

import contracts
from loa_site.local import genesis, wallets

_ids = itertools.count(1)


class LocalChain:
    """The chain of this test run. Units: MicroUSDC."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": list(params)}).encode()
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def mint(self, address: str, amount_micro_usdc: int) -> None:
        """Give an address this balance, directly in the token's state."""
        slots = contracts.load("LocalUSDC").storage_slots
        slot = genesis.mapping_slot(address, slots["balanceOf"])
        self.call("anvil_setStorageAt", contracts.USDC_ADDRESS, slot, genesis.word(amount_micro_usdc))

    def balance_of(self, address: str) -> int:
        data = "0x70a08231" + address[2:].rjust(64, "0")
        return int(self.call("eth_call", {"to": contracts.USDC_ADDRESS, "data": data}, "latest"), 16)

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def send_mined(self, private_key: str, to: str, data: str) -> str:
        """The same as `send_from`, and waits for its block, which a busy node makes only after it answered."""
        transaction_hash = self.send_from(private_key, to, data)
        deadline = time.monotonic() + 10
        while self.call("eth_getTransactionReceipt", transaction_hash) is None:
            assert time.monotonic() < deadline, "it was not mined in time"
            time.sleep(0.01)
        return transaction_hash

    def send_from(self, private_key: str, to: str, data: str, *, nonce_at: str = "latest") -> str:
        """Send a transaction of someone else than our relayer; its hash. The account gets gas money first.

        With `nonce_at="pending"` it comes after what the account has sent and no block has taken yet.
        """
        account = Account.from_key(private_key)
        self.call("anvil_setBalance", account.address, hex(10**18))
        nonce = int(self.call("eth_getTransactionCount", account.address, nonce_at), 16)
        signed = account.sign_transaction(
            {
                "chainId": 84532,
                "nonce": nonce,
                "to": to,
                "data": data,
                "value": 0,
                "gas": 500_000,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        return str(self.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x")))


def stranger() -> str:
    """The private key of someone who has nothing to do with a payment."""
    return wallets.wallet("stranger").private_key
