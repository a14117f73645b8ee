"""The load of the paid benchmarks: signed payments prepared beforehand, sent by threads over kept connections.

Both servers get the same client, the same wallets and the same kind of chain. Latencies are in seconds.
"""

import base64
import http.client
import json
import secrets
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from eth_account import Account

from loa_site.local.paying_client import AUTHORIZATION_FIELDS

PATH = "/api/v1/x402/invoke"
BODY = json.dumps({"model": "loa-demo", "prompt": "Say hello", "max_tokens": 64})
PATIENCE_SECONDS = 70.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a window of load."""

    seconds: float
    latencies: tuple[float, ...]
    refused: int

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def median_ms(self) -> float:
        return statistics.median(self.latencies) * 1000 if self.latencies else float("inf")


def presigned(base_url: str, private_key: str, *, count: int) -> list[str]:
    """Signed payments of one wallet, all for the terms of one unpaid answer."""
    status, headers = Sender(base_url).send({})
    if status != 402:
        raise RuntimeError(f"expected terms, got {status}")
    document = json.loads(base64.b64decode(headers["payment-required"]))
    return [signed_payment(private_key, document["accepts"][0]) for _ in range(count)]


def signed_payment(private_key: str, terms: dict[str, Any]) -> str:
    """The PAYMENT-SIGNATURE header as the official version 2 clients make it: valid from the beginning of time."""
    authorization = {
        "from": Account.from_key(private_key).address,
        "to": terms["payTo"],
        "value": terms["amount"],
        "validAfter": "0",
        "validBefore": str(int(time.time()) + terms["maxTimeoutSeconds"]),
        "nonce": "0x" + secrets.token_hex(32),
    }
    domain = {
        "name": terms["extra"]["name"],
        "version": terms["extra"]["version"],
        "chainId": int(terms["network"].partition(":")[2]),
        "verifyingContract": terms["asset"],
    }
    numbers = {name: int(authorization[name]) for name in ("value", "validAfter", "validBefore")}
    types = {"TransferWithAuthorization": AUTHORIZATION_FIELDS}
    signed = Account.sign_typed_data(private_key, domain, types, authorization | numbers)
    payload = {"signature": signed.signature.to_0x_hex(), "authorization": authorization}
    document = {"x402Version": 2, "accepted": terms, "payload": payload}
    return base64.b64encode(json.dumps(document).encode()).decode()


class Sender:
    """One kept connection."""

    def __init__(self, base_url: str) -> None:
        site = urlsplit(base_url)
        self.connection = http.client.HTTPConnection(site.hostname or "", site.port, timeout=PATIENCE_SECONDS)

    def send(self, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
        """One request; the status and the headers in lower case."""
        self.connection.request("POST", PATH, BODY, {"Content-Type": "application/json", **headers})
        response = self.connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}


def paid_window(base_url: str, payments: Sequence[Sequence[str]], *, seconds: float) -> Load:
    """Each list of payments is one caller's; all send at once until the time is over or nothing is left.

    A payment that is still under way when the time is over does not count.
    """
    latencies: list[float] = []
    refused: list[int] = []
    began = time.monotonic()
    deadline = began + seconds

    def caller(own: Sequence[str]) -> None:
        sender = Sender(base_url)
        for payment in own:
            sent = time.monotonic()
            if sent >= deadline:
                return
            try:
                status, _ = sender.send({"PAYMENT-SIGNATURE": payment})
            except (OSError, http.client.HTTPException):
                sender, status = Sender(base_url), 0
            now = time.monotonic()
            if now > deadline:
                return
            if status == 200:
                latencies.append(now - sent)
            else:
                refused.append(status)

    threads = [threading.Thread(target=caller, args=(own,), daemon=True) for own in payments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) + 0.05)
    return Load(min(time.monotonic(), deadline) - began, tuple(latencies), len(refused))


def unpaid_window(base_url: str, *, callers: int, seconds: float) -> int:
    """How many unpaid requests were answered with 402 in that time."""
    counts: list[int] = []
    deadline = time.monotonic() + seconds

    def caller() -> None:
        sender, answered = Sender(base_url), 0
        while time.monotonic() < deadline:
            answered += sender.send({})[0] == 402
        counts.append(answered)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)
