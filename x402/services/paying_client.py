"""A client of x402: asks, reads the terms, signs one offer, and sends the same payment until it is answered.

For developers who try a paid endpoint (`manage.py x402_pay`). It signs `exact` by EIP-3009, which needs a key and
nothing else: no node, no gas. A payment that was sent is never replaced by another: 503 means to send it again.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eth_account import Account

from outbound import http
from outbound.http import OutboundRequest, OutboundResponse
from x402.protocol import headers
from x402.protocol.networks import chain_id_of

SENDS_MAX: Final = 12
SEND_AGAIN_SECONDS: Final = 5
ANSWER_SECONDS: Final = 75.0  # an answer may be held for 60 s while its settlement is under way
TRANSFER_FIELDS: Final = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


class CannotPay(Exception):
    """Raised when the terms cannot or must not be paid; the message says why, and nothing was signed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a paid endpoint, the same on both legs."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, **more: str) -> OutboundResponse:
        """Send it with more headers. Raises OutboundError."""
        return http.send(
            OutboundRequest(
                self.method,
                self.url,
                headers={"Accept": "application/json", **self.headers, **more},
                body=self.body,
                purpose="x402_pay",
                read_timeout_seconds=ANSWER_SECONDS,
                total_timeout_seconds=ANSWER_SECONDS,
                is_own_choice=True,
            )
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a 402 asks for, version 2."""

    document: dict[str, Any]

    @property
    def offers(self) -> list[dict[str, Any]]:
        return list(self.document["accepts"])

    def offer(self, *, max_micro_usdc: int, network: str = "") -> dict[str, Any]:
        """The first offer this client can sign, within the limit. Raises CannotPay."""
        signable = [offer for offer in self.offers if _is_signable(offer) and network in ("", offer["network"])]
        if not signable:
            raise CannotPay("None of the offers can be paid by signing an EIP-3009 authorization.")
        offer = signable[0]
        if int(offer["amount"]) > max_micro_usdc:
            raise CannotPay(f"It costs {offer['amount']} MicroUSDC, more than the {max_micro_usdc} that --max allows.")
        return offer


def terms_of(response: OutboundResponse) -> Terms:
    """The terms of a 402. Raises CannotPay when there are none."""
    header = response.headers.get(headers.PAYMENT_REQUIRED.lower())
    if response.status != 402 or header is None:
        raise CannotPay(f"The answer is {response.status} without terms; there is nothing to pay.")
    return Terms(headers.decode_object(header, name=headers.PAYMENT_REQUIRED))


def sign(terms: Terms, offer: Mapping[str, Any], *, private_key: str) -> str:
    """The PAYMENT-SIGNATURE header that accepts this offer."""
    authorization = {
        "from": Account.from_key(private_key).address,
        "to": offer["payTo"],
        "value": offer["amount"],
        "validAfter": "0",
        "validBefore": str(int(time.time()) + int(offer["maxTimeoutSeconds"])),
        "nonce": "0x" + secrets.token_hex(32),
    }
    signed = Account.sign_typed_data(
        private_key,
        domain_data={
            "name": offer["extra"]["name"],
            "version": offer["extra"]["version"],
            "chainId": chain_id_of(offer["network"]),
            "verifyingContract": offer["asset"],
        },
        message_types={"TransferWithAuthorization": TRANSFER_FIELDS},
        message_data=authorization
        | {name: int(authorization[name]) for name in ("value", "validAfter", "validBefore")},
    )
    payment = {
        "x402Version": 2,
        "payload": {"signature": signed.signature.to_0x_hex(), "authorization": authorization},
        "accepted": dict(offer),
        "resource": terms.document["resource"],
    }
    return base64.b64encode(json.dumps(payment).encode()).decode()


def pay(ask: Ask, payment: str) -> OutboundResponse:
    """Send the payment, and the same again while the site says that it is still being settled. Raises OutboundError."""
    for _ in range(SENDS_MAX):
        response = ask.send(**{headers.PAYMENT_SIGNATURE: payment})
        if response.status != 503:
            break
        _pause(response.headers.get("retry-after", ""))
    return response


def receipt_of(response: OutboundResponse) -> dict[str, Any]:
    """The settlement that the answer reports; empty when it reports none."""
    header = response.headers.get(headers.PAYMENT_RESPONSE.lower())
    return dict(headers.decode_object(header, name=headers.PAYMENT_RESPONSE)) if header else {}


def _is_signable(offer: Mapping[str, Any]) -> bool:
    method = offer.get("extra", {}).get("assetTransferMethod", "eip3009")
    return offer.get("scheme") == "exact" and method == "eip3009"


def _pause(retry_after: str) -> None:
    seconds = int(retry_after) if retry_after.isascii() and retry_after.isdigit() else SEND_AGAIN_SECONDS
    threading.Event().wait(min(seconds, ANSWER_SECONDS))
