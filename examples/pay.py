"""Pays for one call with the official Python SDK (`x402[evm,httpx]`) and prints the answer.

Run it in an environment without Loa, whose package has the SDK's import name.
"""

import asyncio
import json
import os

import httpx
from eth_account import Account

from x402 import x402Client
from x402.http.clients.httpx import x402AsyncTransport
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client

URL = os.environ.get("BASE_URL", "http://127.0.0.1:8402") + os.environ.get("URL_PATH", "/api/v1/x402/invoke")
BODY = os.environ.get("BODY", json.dumps({"prompt": "Say hello", "max_tokens": 64}))


async def main() -> None:
    """Ask, and let the transport pay when it is told the terms."""
    client = x402Client()
    register_exact_evm_client(client, EthAccountSigner(Account.from_key(os.environ["PRIVATE_KEY"])))
    transport = x402AsyncTransport(client, httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(transport=transport, timeout=75) as session:
        answer = await session.post(URL, content=BODY, headers={"Content-Type": "application/json"})
    answer.raise_for_status()
    print(answer.text)


asyncio.run(main())
