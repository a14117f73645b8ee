"""What a buyer does to pay through Permit2: approve it once, then sign witness transfers (with eth-account)."""

import secrets
import time
from typing import Any

from eth_account import Account

import contracts
from tests.x402.buyer import Buyer, encoded
from tests.x402.chain_tools import LocalChain

PERMIT2 = contracts.load("Permit2").address
EXACT_PROXY = contracts.load("x402ExactPermit2Proxy").address
UPTO_PROXY = contracts.load("x402UptoPermit2Proxy").address
PLENTY = 2**255

_PERMIT = [
    {"name": "permitted", "type": "TokenPermissions"},
    {"name": "spender", "type": "address"},
    {"name": "nonce", "type": "uint256"},
    {"name": "deadline", "type": "uint256"},
    {"name": "witness", "type": "Witness"},
]
_PERMISSIONS = [{"name": "token", "type": "address"}, {"name": "amount", "type": "uint256"}]
_WITNESS = {
    "exact": [{"name": "to", "type": "address"}, {"name": "validAfter", "type": "uint256"}],
    "upto": [
        {"name": "to", "type": "address"},
        {"name": "facilitator", "type": "address"},
        {"name": "validAfter", "type": "uint256"},
    ],
}


def approve(chain: LocalChain, buyer: Buyer, amount: int = PLENTY, *, asset: str = contracts.USDC_ADDRESS) -> None:
    """Let Permit2 move this much of the buyer's tokens; 0 takes it back."""
    data = "0x095ea7b3" + PERMIT2[2:].lower().rjust(64, "0") + f"{amount:064x}"
    chain.send_from(buyer.private_key, asset, data)


def offer_of(terms: dict[str, Any], *, scheme: str, method: str = "permit2") -> dict[str, Any]:
    """The offer of this scheme and method among the terms."""
    offer: dict[str, Any]
    for offer in terms["accepts"]:
        if offer["scheme"] == scheme and offer["extra"].get("assetTransferMethod", "eip3009") == method:
            return offer
    raise LookupError(f"no offer of {scheme} by {method}")


def sign_permit(buyer: Buyer, offer: dict[str, Any], changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The scheme's payload; `changes` overwrite fields of the permit before it is signed."""
    scheme = offer["scheme"]
    fields = {
        "token": offer["asset"],
        "amount": offer["amount"],
        "spender": EXACT_PROXY if scheme == "exact" else UPTO_PROXY,
        "nonce": str(secrets.randbits(256)),
        "deadline": str(int(time.time()) + offer["maxTimeoutSeconds"]),
        "to": offer["payTo"],
        "validAfter": "0",
        "facilitator": offer["extra"].get("facilitatorAddress", ""),
    } | (changes or {})
    witness = {"to": fields["to"], "validAfter": int(fields["validAfter"])}
    wire_witness = {"to": fields["to"], "validAfter": fields["validAfter"]}
    if scheme == "upto":
        witness |= {"facilitator": fields["facilitator"]}
        wire_witness |= {"facilitator": fields["facilitator"]}
    signed = Account.sign_typed_data(
        buyer.private_key,
        domain_data={
            "name": "Permit2",
            "chainId": int(offer["network"].removeprefix("eip155:")),
            "verifyingContract": PERMIT2,
        },
        message_types={
            "PermitWitnessTransferFrom": _PERMIT,
            "TokenPermissions": _PERMISSIONS,
            "Witness": _WITNESS[scheme],
        },
        message_data={
            "permitted": {"token": fields["token"], "amount": int(fields["amount"])},
            "spender": fields["spender"],
            "nonce": int(fields["nonce"]),
            "deadline": int(fields["deadline"]),
            "witness": witness,
        },
    )
    return {
        "signature": "0x" + signed.signature.hex().removeprefix("0x"),
        "permit2Authorization": {
            "permitted": {"token": fields["token"], "amount": fields["amount"]},
            "from": buyer.address,
            "spender": fields["spender"],
            "nonce": fields["nonce"],
            "deadline": fields["deadline"],
            "witness": wire_witness,
        },
    }


def permit_header(
    buyer: Buyer, terms: dict[str, Any], changes: dict[str, Any] | None = None, *, scheme: str = "exact"
) -> dict[str, str]:
    """The PAYMENT-SIGNATURE header that pays these terms by Permit2."""
    offer = offer_of(terms, scheme=scheme)
    payment = {
        "x402Version": 2,
        "payload": sign_permit(buyer, offer, changes),
        "accepted": offer,
        "resource": terms["resource"],
    }
    return {"PAYMENT-SIGNATURE": encoded(payment)}
