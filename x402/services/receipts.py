"""A receipt: what a payer needs to prove a payment to someone else, signed (extension `offer-receipt`)."""

from dataclasses import dataclass
from datetime import datetime

from telemetry.configuration import loa
from x402.models import Payment
from x402.protocol.strict_json import JsonObject
from x402.services import signed_statements


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """The signed statement and who signed it (a checksummed address)."""

    statement: JsonObject
    signer: str

    def to_json(self) -> JsonObject:
        """As the extension writes it, and the signer for those who do not recover it themselves."""
        return {**self.statement, "signer": self.signer}


def sign_receipt(payment: Payment, *, issued_at: datetime) -> SignedReceipt:
    """State, signed, that this payment was received. Call it only for payments that were settled.

    The time is when the payment was settled, where that is known, so that the same receipt is signed every time.
    Raises KmsUnavailable where the key is in KMS.
    """
    statement = signed_statements.receipt(
        network=payment.network,
        resource_url=loa("PUBLIC_ORIGIN") + payment.request_path,
        payer=payment.payer,
        issued_at=int((payment.settled_at or issued_at).timestamp()),
        transaction=payment.transaction_hash,
    )
    return SignedReceipt(statement, signed_statements.statement_signer().address)
