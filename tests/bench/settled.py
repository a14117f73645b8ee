"""What the chain says of a benchmark's payments, whoever settled them: how many a block, and what gas they took."""

import http.client
import json
import statistics
from typing import Any
from urllib.parse import urlsplit

import psycopg

import contracts
from loa_site.local import genesis

PLENTY_MICRO_USDC = 10**10
FULL_BATCH = 50
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


class Blocks:
    """The blocks from the moment this is made on."""

    def __init__(self, rpc_url: str, *, pay_to: str) -> None:
        self._rpc_url = rpc_url
        self._pay_to = "0x" + pay_to[2:].lower().rjust(64, "0")
        self._first = int(ask(rpc_url, "eth_blockNumber"), 16) + 1

    def payments_per_block(self) -> float:
        """Transfers to the seller, over how many blocks there were; the first, cut short, is left out."""
        newest = int(ask(self._rpc_url, "eth_blockNumber"), 16)
        wanted = {
            "fromBlock": hex(self._first + 1),
            "toBlock": hex(newest),
            "address": contracts.USDC_ADDRESS,
            "topics": [TRANSFER, None, self._pay_to],
        }
        return len(ask(self._rpc_url, "eth_getLogs", wanted)) / max(newest - self._first, 1)


def fund(rpc_url: str, addresses: list[str]) -> None:
    """Give these wallets plenty of the token, directly in its state."""
    slot = contracts.load("LocalUSDC").storage_slots["balanceOf"]
    for address in addresses:
        ask(
            rpc_url,
            "anvil_setStorageAt",
            contracts.USDC_ADDRESS,
            genesis.mapping_slot(address, slot),
            genesis.word(PLENTY_MICRO_USDC),
        )


def gas_of_a_payment(database_url: str, *, batch: int) -> float:
    """What a payment took in a transaction that carried so many, by the receipts in our rows: the median."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT gas_used FROM x402_chaintransaction WHERE state = 'mined' AND succeeded AND payment_count = %s",
            [batch],
        ).fetchall()
    return statistics.median(gas / batch for (gas,) in rows) if rows else float("inf")


def ask(rpc_url: str, method: str, *parameters: Any) -> Any:
    """One JSON-RPC call."""
    site = urlsplit(rpc_url)
    connection = http.client.HTTPConnection(site.hostname or "", site.port, timeout=30)
    try:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        connection.request("POST", "/", json.dumps(call), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["result"]
    finally:
        connection.close()
