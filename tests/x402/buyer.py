"""A buyer for tests: reads terms, signs with eth-account (not with our own digests), and pays over HTTP.

Speaks both protocol versions from their specification only, so that it cannot share a mistake with the server.
"""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client
from eth_account import Account
from eth_account.messages import encode_defunct

TRANSFER_TYPES = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


def decoded(value: str) -> dict[str, Any]:
    """The JSON object in a base64 header."""
    document: dict[str, Any] = json.loads(base64.b64decode(value))
    return document


def encoded(document: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def terms_of(response: HttpResponse) -> dict[str, Any]:
    """The version 2 terms of a 402."""
    return decoded(response["PAYMENT-REQUIRED"])


def receipt_of(response: HttpResponse) -> dict[str, Any]:
    """The settlement a response reports, in either version."""
    name = "PAYMENT-RESPONSE" if response.has_header("PAYMENT-RESPONSE") else "X-PAYMENT-RESPONSE"
    return decoded(response[name])


@dataclass(slots=True)
class Buyer:
    """One wallet. `sign` makes an authorization; `changes` overwrite its fields before it is signed."""

    private_key: str
    client: Client = field(default_factory=Client)

    @property
    def address(self) -> str:
        return str(Account.from_key(self.private_key).address)

    def sign(self, offer: dict[str, Any], changes: dict[str, Any] | None = None) -> dict[str, Any]:
        """The `payload` for one item of `accepts` in either version."""
        amount = offer.get("amount") or offer["maxAmountRequired"]
        _, is_caip2, reference = offer["network"].partition(":")
        chain_id = int(reference) if is_caip2 else 84532
        authorization = {
            "from": self.address,
            "to": offer["payTo"],
            "value": amount,
            "validAfter": "0",
            "validBefore": str(int(time.time()) + offer["maxTimeoutSeconds"]),
            "nonce": "0x" + secrets.token_hex(32),
        } | (changes or {})
        signed = Account.sign_typed_data(
            self.private_key,
            domain_data={
                "name": offer["extra"]["name"],
                "version": offer["extra"]["version"],
                "chainId": chain_id,
                "verifyingContract": offer["asset"],
            },
            message_types=TRANSFER_TYPES,
            message_data={
                "from": authorization["from"],
                "to": authorization["to"],
                "value": int(authorization["value"]),
                "validAfter": int(authorization["validAfter"]),
                "validBefore": int(authorization["validBefore"]),
                "nonce": bytes.fromhex(authorization["nonce"][2:]),
            },
        )
        return {"signature": "0x" + signed.signature.hex().removeprefix("0x"), "authorization": authorization}

    def v2_header(
        self, terms: dict[str, Any], changes: dict[str, Any] | None = None, *, offer: dict[str, Any] | None = None
    ) -> str:
        """The PAYMENT-SIGNATURE header for the first offer of these terms, or for this one."""
        offer = offer or terms["accepts"][0]
        payment = {
            "x402Version": 2,
            "payload": self.sign(offer, changes),
            "accepted": offer,
            "resource": terms["resource"],
        }
        return encoded(payment)

    def v1_header(self, body: dict[str, Any], changes: dict[str, Any] | None = None) -> str:
        """The X-PAYMENT header for the first offer in the body of a 402."""
        offer = body["accepts"][0]
        return encoded(
            {"x402Version": 1, "scheme": "exact", "network": offer["network"], "payload": self.sign(offer, changes)}
        )

    def ask(self, path: str, document: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
        """The request without a payment, or with the headers given. POST when there is a document."""
        if document is None:
            return self.client.get(path, headers=headers)
        return self.client.post(path, data=json.dumps(document), content_type="application/json", headers=headers)

    def buy(self, path: str, document: dict[str, Any] | None = None) -> Any:
        """Ask, sign the first offer, and ask again with the payment (version 2)."""
        terms = terms_of(self.ask(path, document))
        return self.ask(path, document, {"PAYMENT-SIGNATURE": self.v2_header(terms)})

    def prove(self, terms: dict[str, Any]) -> str:
        """The SIGN-IN-WITH-X header for the challenge in these terms: this wallet, for that one request."""
        extension = terms["extensions"]["sign-in-with-x"]
        info, chain = extension["info"], extension["supportedChains"][0]
        lines = [
            f"{info['domain']} wants you to sign in with your Ethereum account:",
            self.address,
            "",
            info["statement"],
            "",
            f"URI: {info['uri']}",
            f"Version: {info['version']}",
            f"Chain ID: {chain['chainId'].removeprefix('eip155:')}",
            f"Nonce: {info['nonce']}",
            f"Issued At: {info['issuedAt']}",
            f"Expiration Time: {info['expirationTime']}",
        ]
        signed = Account.sign_message(encode_defunct(text="\n".join(lines)), self.private_key)
        proof = info | {
            "address": self.address,
            "chainId": chain["chainId"],
            "type": chain["type"],
            "signature": "0x" + signed.signature.hex().removeprefix("0x"),
        }
        return encoded(proof)
