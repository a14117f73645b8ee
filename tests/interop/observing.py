"""What an outsider can check: the client's report, the chain by its RPC, and the ledger's rows."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import psycopg
from eth_account import Account

from tests.interop.environments import Client

INVOKE = "/api/v1/x402/invoke"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSFER_WITH_AUTHORIZATION = "e3ee160e"  # (from,to,value,validAfter,validBefore,nonce,v,r,s)
CLIENT_SECONDS = 180  # a cold client on a busy machine
ANSWER_SECONDS = 75
APPROVE = "0x095ea7b3"  # approve(address,uint256)
MINED_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers in lower case, and the body as JSON where it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


def pay(
    client: Client, run: Mapping[str, Any], *, wallet: int, prompt: str, capture_only: bool = False
) -> dict[str, Any]:
    """Let a client pay for one call and return its report; with `capture_only` it signs and does not send."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "BASE_URL": run["base_url"],
        "RPC_URL": run["rpc_url"],
        "URL_PATH": INVOKE,
        "PRIVATE_KEY": run["payer_private_keys"][wallet],
        "BODY": json.dumps(body_for(prompt)),
        "WAY": client.way,
        "CAPTURE_ONLY": "1" if capture_only else "0",
    }
    result = subprocess.run(
        list(client.command),
        cwd=client.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    lines = result.stdout.strip().splitlines()
    assert lines, f"{client.name} said nothing: {result.stderr[-800:]}"
    assert result.returncode == 0, f"{client.name} gave up: {lines[-1][-800:]} {result.stderr[-800:]}"
    report: dict[str, Any] = json.loads(lines[-1])
    return report


def body_for(prompt: str) -> dict[str, Any]:
    """The request every client makes."""
    return {"model": "loa-demo", "prompt": prompt, "max_tokens": 512}


def send(run: Mapping[str, Any], prompt: str, headers: Mapping[str, str]) -> Reply:
    """POST the request with these headers."""
    return request(run["base_url"], "POST", INVOKE, body_for(prompt), headers)


def send_copies(run: Mapping[str, Any], prompt: str, headers: Mapping[str, str], *, copies: int) -> list[Reply]:
    """The same request `copies` times at the same moment."""
    barrier = Barrier(copies)

    def one(_number: int) -> Reply:
        barrier.wait()
        return send(run, prompt, headers)

    with ThreadPoolExecutor(copies) as threads:
        return list(threads.map(one, range(copies)))


def request(base_url: str, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
    """One HTTP request."""
    site = urlsplit(base_url)
    connection = http.client.HTTPConnection(site.hostname or "", site.port, timeout=ANSWER_SECONDS)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    received = {name.lower(): value for name, value in response.getheaders()}
    is_json = "json" in received.get("content-type", "")
    return Reply(response.status, received, json.loads(text) if is_json and text else text)


def rpc(run: Mapping[str, Any], method: str, *parameters: Any) -> Any:
    """Ask the chain itself."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    return request(run["rpc_url"], "POST", "/", call, {}).body["result"]


def transfers_in(run: Mapping[str, Any], transaction: str, *, payer: str) -> list[int]:
    """The amounts that left `payer` for the site's recipient in this transaction, by its Transfer logs."""
    receipt = rpc(run, "eth_getTransactionReceipt", transaction)
    assert receipt["status"] == "0x1"
    return [
        int(log["data"], 16)
        for log in receipt["logs"]
        if log["address"].lower() == run["usdc"].lower()
        and log["topics"][0] == TRANSFER
        and log["topics"][1][-40:] == payer[2:].lower()
        and log["topics"][2][-40:] == run["pay_to"][2:].lower()
    ]


def authorization_from_calldata(run: Mapping[str, Any], transaction: str, *, payer: str) -> dict[str, Any]:
    """The payer's signed authorization, read from nothing but the transaction that everyone can see."""
    calldata = rpc(run, "eth_getTransactionByHash", transaction)["input"]
    needle = TRANSFER_WITH_AUTHORIZATION + payer[2:].lower().rjust(64, "0")
    at = calldata.index(needle) + len(TRANSFER_WITH_AUTHORIZATION)
    words = [calldata[at + 64 * number : at + 64 * (number + 1)] for number in range(9)]
    signature = words[7] + words[8] + words[6][-2:]
    return {
        "signature": "0x" + signature,
        "authorization": {
            "from": "0x" + words[0][-40:],
            "to": "0x" + words[1][-40:],
            "value": str(int(words[2], 16)),
            "validAfter": str(int(words[3], 16)),
            "validBefore": str(int(words[4], 16)),
            "nonce": "0x" + words[5],
        },
    }


def payment_row(run: Mapping[str, Any], nonce: str) -> dict[str, Any]:
    """What the books say of the one payment with this nonce: its row and the kinds of its journals, in order."""
    with psycopg.connect(run["database_url"]) as connection:
        rows = connection.execute(
            "SELECT id, state, attempt, charged_micro_usdc, entry_id, transaction_hash, payer FROM x402_payment"
            " WHERE nonce = %s",
            [nonce.lower()],
        ).fetchall()
        assert len(rows) == 1, f"{len(rows)} rows for one nonce"
        names = ("id", "state", "attempt", "charged", "entry_id", "transaction", "payer")
        row = dict(zip(names, rows[0], strict=True))
        journals = connection.execute(
            # Streams number their journals apart, so time is the only order that spans the writers of two processes.
            "SELECT kind FROM billing.journal WHERE entry_id = %s ORDER BY recorded_at, stream, sequence",
            [row["entry_id"]],
        ).fetchall()
    return row | {"journals": [kind for (kind,) in journals]}


def approve_permit2(run: Mapping[str, Any], private_key: str) -> None:
    """Let Permit2 move this wallet's tokens, by a transaction of its own, and wait until it is mined."""
    account = Account.from_key(private_key)
    unsigned = {
        "chainId": int(rpc(run, "eth_chainId"), 16),
        "nonce": int(rpc(run, "eth_getTransactionCount", account.address, "latest"), 16),
        "to": run["usdc"],
        "data": APPROVE + run["permit2"][2:].lower().rjust(64, "0") + "f" * 64,
        "value": 0,
        "gas": 100_000,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 10**9,
    }
    signed = account.sign_transaction(unsigned)
    transaction_hash = rpc(run, "eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    deadline = time.monotonic() + MINED_SECONDS
    while rpc(run, "eth_getTransactionReceipt", transaction_hash) is None:
        assert time.monotonic() < deadline, "the approval was not mined"
        time.sleep(0.05)
