"""What an attacker and a test do beside buying: hold the relayer back, cancel, submit first, rebuild from calldata."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
from django.test import Client
from eth_account import Account

import contracts
from tests.x402.buyer import Buyer, decoded, encoded
from tests.x402.chain_tools import LocalChain, stranger
from x402.chain import multicall, permit2, tokens
from x402.models import Payment
from x402.protocol.eip712 import checksum_address
from x402.protocol.payload import Authorization, Permit2Authorization, read_document

CANCEL_TYPES = {
    "CancelAuthorization": [{"name": "authorizer", "type": "address"}, {"name": "nonce", "type": "bytes32"}]
}
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
INVALIDATE_SELECTOR = "3ff9dcb1"  # invalidateUnorderedNonces(uint256,uint256)
CANCEL_SELECTOR = "5a049a70"  # cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)
TRANSFER_SELECTOR = "a9059cbb"


class RelayerHold:
    """Locks the relayer's row, so that no batch is stored until `let_go`: payments then wait together."""

    def __init__(self, database: dict[str, Any]) -> None:
        self._connection = psycopg.connect(
            host=database["HOST"], port=database["PORT"], user=database["USER"], dbname=database["NAME"]
        )
        self._is_held = False

    def take(self) -> None:
        self._connection.execute("SELECT 1 FROM x402_relayer FOR UPDATE")
        self._is_held = True

    def let_go(self) -> None:
        if self._is_held:
            self._connection.commit()
            self._is_held = False
        self._connection.close()


def again(buyer: Buyer) -> Buyer:
    """The same wallet behind a client of its own, for use in another thread."""
    return Buyer(buyer.private_key, Client())


def in_background(work: Callable[[], Any]) -> Future[Any]:
    """Start a request in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def until(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for something that other threads or processes do."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)


def row_of(buyer: Buyer) -> Payment | None:
    return Payment.objects.filter(payer=buyer.address.lower()).order_by("-created_at").first()


def signed(header: str) -> dict[str, Any]:
    """The payload inside a payment header."""
    payload: dict[str, Any] = decoded(header)["payload"]
    return payload


def authorization_in(header: str) -> Authorization:
    payload = signed(header)
    fields = payload["authorization"]
    return Authorization(
        from_=bytes.fromhex(fields["from"][2:]),
        to=bytes.fromhex(fields["to"][2:]),
        value=int(fields["value"]),
        valid_after=int(fields["validAfter"]),
        valid_before=int(fields["validBefore"]),
        nonce=bytes.fromhex(fields["nonce"][2:]),
        signature=bytes.fromhex(payload["signature"][2:]),
    )


def submit_as_stranger(chain: LocalChain, *headers: str) -> str:
    """Somebody else carries these authorizations to the token: one directly, several in a batch of their own."""
    calls: list[tuple[str | bytes, bytes]] = [
        (contracts.USDC_ADDRESS, tokens.transfer_with_authorization(authorization_in(header))) for header in headers
    ]
    if len(calls) == 1:
        target, data = str(calls[0][0]), calls[0][1]
    else:
        target, data = "0xcA11bde05977b3631167028862bE2a173976CA11", multicall.encode_aggregate3(calls)
    transaction_hash = chain.send_from(stranger(), target, "0x" + data.hex())
    until(lambda: chain.call("eth_getTransactionReceipt", transaction_hash) is not None)
    return transaction_hash


def cancel(chain: LocalChain, buyer: Buyer, header: str, *, carrier: str = "") -> str:
    """The payer withdraws its authorization on the chain; `carrier` is the key of who sends it there."""
    nonce = signed(header)["authorization"]["nonce"]
    made = Account.sign_typed_data(
        buyer.private_key,
        domain_data={
            "name": "USDC",
            "version": "2",
            "chainId": 84532,
            "verifyingContract": contracts.USDC_ADDRESS,
        },
        message_types=CANCEL_TYPES,
        message_data={"authorizer": buyer.address, "nonce": bytes.fromhex(nonce[2:])},
    )
    data = "".join(
        (
            CANCEL_SELECTOR,
            buyer.address[2:].lower().rjust(64, "0"),
            nonce[2:],
            f"{made.v:064x}",
            f"{made.r:064x}",
            f"{made.s:064x}",
        )
    )
    return chain.send_from(carrier or stranger(), contracts.USDC_ADDRESS, "0x" + data)


def rebuilt(
    chain: LocalChain, transaction_hash: str, offer: dict[str, Any], resource: dict[str, Any]
) -> list[dict[str, str]]:
    """The headers, in both versions, that anyone can make of a payment's public calldata."""
    calldata = chain.call("eth_getTransactionByHash", transaction_hash)["input"]
    words = [calldata[10 + 64 * i : 10 + 64 * (i + 1)] for i in range(9)]
    payload = {
        "signature": "0x" + words[7] + words[8] + words[6][-2:],
        "authorization": {
            "from": "0x" + words[0][-40:],
            "to": "0x" + words[1][-40:],
            "value": str(int(words[2], 16)),
            "validAfter": str(int(words[3], 16)),
            "validBefore": str(int(words[4], 16)),
            "nonce": "0x" + words[5],
        },
    }
    v1 = encoded({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload})
    v2 = encoded({"x402Version": 2, "payload": payload, "accepted": offer, "resource": resource})
    return [{"X-PAYMENT": v1}, {"PAYMENT-SIGNATURE": v2}]


def v2_of(payment: dict[str, Any]) -> dict[str, str]:
    return {"PAYMENT-SIGNATURE": encoded(payment)}


def turn_chain_clock_past(chain: LocalChain, timestamp: int) -> None:
    """Mine a block at this time or later."""
    chain.call("evm_setNextBlockTimestamp", hex(max(timestamp, newest_time(chain) + 1)))
    chain.mine()


def set_chain_clock_right(chain: LocalChain) -> None:
    """Let the chain keep the time of this machine again, from its next block on."""
    chain.call("evm_setTime", int(time.time()))
    chain.mine()


def newest_time(chain: LocalChain) -> int:
    """The time of the newest block, in Unix seconds."""
    return int(chain.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def submit_permit_as_stranger(chain: LocalChain, *headers: dict[str, str]) -> str:
    """Somebody else carries these exact permits to the proxy, which lets anyone: one directly, several in a batch."""
    calls: list[tuple[str | bytes, bytes]] = []
    for header in headers:
        permit = read_document(decoded(header["PAYMENT-SIGNATURE"])).authorization
        assert isinstance(permit, Permit2Authorization)
        calls.append((checksum_address(permit2.proxy_of(permit)), permit2.settle_exact(permit)))
    target, data = (
        (str(calls[0][0]), calls[0][1]) if len(calls) == 1 else (MULTICALL3, multicall.encode_aggregate3(calls))
    )
    transaction_hash = chain.send_from(stranger(), target, "0x" + data.hex())
    until(lambda: chain.call("eth_getTransactionReceipt", transaction_hash) is not None)
    return transaction_hash


def invalidate_permit(chain: LocalChain, buyer: Buyer, header: dict[str, str]) -> str:
    """The payer uses up the nonce of its permit itself, so that nobody can carry it any more."""
    nonce = int(signed(header["PAYMENT-SIGNATURE"])["permit2Authorization"]["nonce"])
    data = INVALIDATE_SELECTOR + f"{nonce >> 8:064x}" + f"{1 << (nonce & 255):064x}"
    return chain.send_from(buyer.private_key, contracts.load("Permit2").address or "", "0x" + data)
