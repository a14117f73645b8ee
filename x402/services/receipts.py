"""A receipt: what a payer needs to prove a payment to someone else, signed.

The signature is the `offer-receipt` extension's: EIP-712, domain "x402 receipt" version "1" on chain 1, over network,
resource, payer, time and transaction, made with the relayer's key. Anyone can recover the signer's address from it.
Source: x402 extension offer-receipt.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eth_account import Account

from telemetry.configuration import loa
from x402.models import Payment
from x402.protocol.strict_json import JsonObject

FORMAT: Final = "eip712"
VERSION: Final = 1
DOMAIN: Final = {"name": "x402 receipt", "version": "1", "chainId": 1}
TYPES: Final = {
    "Receipt": [
        {"name": "version", "type": "uint256"},
        {"name": "network", "type": "string"},
        {"name": "resourceUrl", "type": "string"},
        {"name": "payer", "type": "string"},
        {"name": "issuedAt", "type": "uint256"},
        {"name": "transaction", "type": "string"},
    ]
}


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """The signed statement and who signed it (a checksummed address)."""

    payload: JsonObject
    signature: str
    signer: str

    def to_json(self) -> JsonObject:
        """As the extension writes it, and the signer for those who do not recover it themselves."""
        return {"format": FORMAT, "payload": self.payload, "signature": self.signature, "signer": self.signer}


def sign_receipt(payment: Payment, *, issued_at: datetime) -> SignedReceipt:
    """State, signed, that this payment was received. Call it only for payments that were settled.

    The time is when the payment was settled, where that is known, so that the same receipt is signed every time.
    """
    payload: JsonObject = {
        "version": VERSION,
        "network": payment.network,
        "resourceUrl": loa("PUBLIC_ORIGIN") + payment.request_path,
        "payer": payment.payer,
        "issuedAt": int((payment.settled_at or issued_at).timestamp()),
        "transaction": payment.transaction_hash,
    }
    signer = Account.from_key(loa("RELAYER_PRIVATE_KEY"))
    signed = signer.sign_typed_data(domain_data=DOMAIN, message_types=TYPES, message_data=payload)
    return SignedReceipt(
        payload=payload, signature="0x" + signed.signature.hex().removeprefix("0x"), signer=signer.address
    )
