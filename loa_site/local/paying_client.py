"""A client with a wallet, as anyone could write one: it knows HTTP, the x402 headers and how to sign, nothing of us.

It speaks protocol version 2 with EIP-3009 authorizations, and signs in with EIP-4361 messages.
"""

import base64
import http.client
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from eth_account import Account
from eth_account.messages import encode_defunct

Json = dict[str, Any]

TIMEOUT_SECONDS = 70.0
AUTHORIZATION_FIELDS = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: status, headers in lower case, and the body as JSON where it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    def header_json(self, name: str) -> Json:
        """A header that holds base64 of a JSON object."""
        document: Json = json.loads(base64.b64decode(self.headers[name.lower()]))
        return document


@dataclass(slots=True)
class PayingClient:
    """One wallet against one site."""

    base_url: str
    private_key: str
    token: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The wallet's address."""
        address: str = Account.from_key(self.private_key).address
        return address

    def get(self, path: str, **headers: str) -> Answer:
        """GET a path."""
        return self._request("GET", path, None, headers)

    def post(self, path: str, body: Json, **headers: str) -> Answer:
        """POST a JSON body."""
        return self._request("POST", path, body, headers)

    def sign_payment(self, terms: Json) -> str:
        """The PAYMENT-SIGNATURE header for one of the offers of a 402: an authorization of its full amount."""
        now = int(time.time())
        authorization = {
            "from": self.address,
            "to": terms["payTo"],
            "value": terms["amount"],
            "validAfter": str(now - 60),
            "validBefore": str(now + terms["maxTimeoutSeconds"]),
            "nonce": "0x" + secrets.token_hex(32),
        }
        domain = {
            "name": terms["extra"]["name"],
            "version": terms["extra"]["version"],
            "chainId": int(terms["network"].partition(":")[2]),
            "verifyingContract": terms["asset"],
        }
        message = authorization | {name: int(authorization[name]) for name in ("value", "validAfter", "validBefore")}
        signed = Account.sign_typed_data(
            self.private_key, domain, {"TransferWithAuthorization": AUTHORIZATION_FIELDS}, message
        )
        payload = {
            "x402Version": 2,
            "accepted": terms,
            "payload": {"signature": signed.signature.to_0x_hex(), "authorization": authorization},
        }
        return base64.b64encode(json.dumps(payload).encode()).decode()

    def sign_in(self) -> Answer:
        """Sign in with the wallet; later requests carry the bearer token."""
        parts = self.get("/api/v1/auth/nonce").body
        issued_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        message = (
            f"{parts['domain']} wants you to sign in with your Ethereum account:\n{self.address}\n\n\n"
            f"URI: {parts['uri']}\nVersion: {parts['version']}\nChain ID: {parts['chain_id']}\n"
            f"Nonce: {parts['nonce']}\nIssued At: {issued_at}"
        )
        signature = Account.sign_message(encode_defunct(text=message), self.private_key).signature.to_0x_hex()
        answer = self.post("/api/v1/auth/verify", {"message": message, "signature": signature})
        if answer.status == 200:
            self.token = answer.body["access_token"]
        return answer

    def _request(self, method: str, path: str, body: Json | None, headers: Mapping[str, str]) -> Answer:
        """One request. Keyword names become header names: `payment_signature` is `Payment-Signature`."""
        site = urlsplit(self.base_url)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(site.hostname or "", site.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        received = {name.lower(): value for name, value in response.getheaders()}
        is_json = "json" in received.get("content-type", "")
        return Answer(response.status, received, json.loads(content) if is_json and content else content.decode())
