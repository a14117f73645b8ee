"""The official Python SDK, paying through its httpx transport.

Runs in an environment of its own, started with `-P` from outside the repository, because this project's own package has
the SDK's import name. Prints one JSON line: {status, body, payment_response, payment_id, payment}.
With CAPTURE_ONLY=1 the signed payment is printed and not sent.
"""

import asyncio
import base64
import json
import os
from typing import Any

import httpx
from eth_account import Account

from x402 import x402Client
from x402.http.clients.httpx import x402AsyncTransport
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.evm.upto import UptoEvmClientScheme

PAYMENT_HEADERS = ("payment-signature", "x-payment")
DEFAULT_BODY = '{"model":"loa-demo","prompt":"Say hello","max_tokens":64}'
ANSWER_TIMEOUT_SECONDS = 90  # a held answer may take 60 seconds


class WatchingTransport(httpx.AsyncHTTPTransport):
    """Sends requests, remembers the payment it saw, and stops at it when payments are only to be captured."""

    def __init__(self, *, capture_only: bool) -> None:
        super().__init__()
        self.capture_only = capture_only
        self.payment: dict[str, str] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for name in PAYMENT_HEADERS:
            if name in request.headers:
                self.payment = {"name": name, "value": request.headers[name]}
                if self.capture_only:
                    return httpx.Response(200, json=None, request=request)
        return await super().handle_async_request(request)


def wanted_offers(_version: int, offers: list[Any]) -> list[Any]:
    """Those of the way to pay that the test wants: `exact-3009`, `exact-permit2` or `upto`."""
    way = os.environ.get("WAY", "exact-3009")
    scheme, method = ("upto", "permit2") if way == "upto" else ("exact", "permit2" if "permit2" in way else "eip3009")
    return [
        offer
        for offer in offers
        if offer.scheme == scheme and (offer.extra or {}).get("assetTransferMethod", "eip3009") == method
    ]


def parsed(text: str) -> object:
    """`text` as JSON where it is JSON, as it came otherwise."""
    try:
        return json.loads(text)
    except ValueError:
        return text


async def pay() -> dict[str, object]:
    """Pay for one call and tell what came back."""
    client = x402Client()
    signer = EthAccountSigner(Account.from_key(os.environ["PRIVATE_KEY"]))
    register_exact_evm_client(client, signer)
    client.register("eip155:*", UptoEvmClientScheme(signer))
    client.register_policy(wanted_offers)
    watching = WatchingTransport(capture_only=os.environ.get("CAPTURE_ONLY") == "1")
    url = os.environ["BASE_URL"] + os.environ.get("URL_PATH", "/api/v1/x402/invoke")
    transport = x402AsyncTransport(client, watching)
    async with httpx.AsyncClient(transport=transport, timeout=ANSWER_TIMEOUT_SECONDS) as session:
        response = await session.post(
            url, content=os.environ.get("BODY", DEFAULT_BODY), headers={"Content-Type": "application/json"}
        )
    header = response.headers.get("payment-response")
    receipt = json.loads(base64.b64decode(header)) if header else None
    loa = ((receipt or {}).get("extensions") or {}).get("loa") or {}
    return {
        "status": 0 if watching.capture_only else response.status_code,
        "body": parsed(response.text),
        "payment_response": receipt,
        "payment_id": loa.get("payment_id") or (loa.get("info") or {}).get("payment_id"),
        "payment": watching.payment,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(pay())))
