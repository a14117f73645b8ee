"""Payments signed with eth-account's own encoder, so that our digests are judged by another implementation."""

import base64
import json
from typing import Any

from eth_account import Account

from x402.protocol.payload import Authorization
from x402.protocol.requirements import Requirements

USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
PAYER = Account.from_key("0x" + "11" * 32)
STRANGER = Account.from_key("0x" + "22" * 32)
NOW = 1_800_000_000

DOMAIN = {"name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": USDC}
TRANSFER = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


def requirements(**changes: Any) -> Requirements:
    """The offer of these tests: 2,000 units of USDC on Base Sepolia."""
    facts: dict[str, Any] = {
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": USDC,
        "amount": 2_000,
        "pay_to": PAY_TO,
        "max_timeout_seconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }
    return Requirements(**(facts | changes))


def message(**changes: Any) -> dict[str, Any]:
    """What the payer signs, as wallets name it."""
    facts: dict[str, Any] = {
        "from": PAYER.address,
        "to": PAY_TO,
        "value": 2_000,
        "validAfter": 0,
        "validBefore": NOW + 300,
        "nonce": "0x" + "ab" * 32,
    }
    return facts | changes


def signed(*, key: Any = PAYER, domain: dict[str, Any] | None = None, **changes: Any) -> Authorization:
    """An authorization with a good signature over exactly these fields, by `key`."""
    fields = message(**changes)
    signature = key.sign_typed_data(domain or DOMAIN, TRANSFER, fields).signature
    return Authorization(
        from_=bytes.fromhex(fields["from"][2:]),
        to=bytes.fromhex(fields["to"][2:]),
        value=fields["value"],
        valid_after=fields["validAfter"],
        valid_before=fields["validBefore"],
        nonce=bytes.fromhex(fields["nonce"][2:]),
        signature=bytes(signature),
    )


def wire(authorization: Authorization) -> dict[str, Any]:
    """The scheme's payload as clients write it."""
    return {
        "signature": "0x" + authorization.signature.hex(),
        "authorization": {
            "from": "0x" + authorization.from_.hex(),
            "to": "0x" + authorization.to.hex(),
            "value": str(authorization.value),
            "validAfter": str(authorization.valid_after),
            "validBefore": str(authorization.valid_before),
            "nonce": "0x" + authorization.nonce.hex(),
        },
    }


def document_v2(**changes: Any) -> dict[str, Any]:
    """A version 2 payment as a client would send it."""
    return {
        "x402Version": 2,
        "payload": wire(signed()),
        "accepted": requirements().to_v2(),
        "resource": {"url": "https://shop.example/report/7"},
    } | changes


def document_v1(**changes: Any) -> dict[str, Any]:
    """A version 1 payment as a client would send it."""
    return {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": wire(signed())} | changes


def encoded(document: Any) -> str:
    """The header value, made by the standard library alone."""
    return base64.b64encode(json.dumps(document).encode()).decode()
