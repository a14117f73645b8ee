"""A receipt: what a payer needs to prove a payment to someone else, signed (extension `offer-receipt`)."""

from dataclasses import dataclass

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


def sign_receipt(payment: Payment) -> SignedReceipt:
    """State, signed, that this payment was received, at the time its row says: the same receipt every time.

    Raises ValueError for a payment that was not settled, and KmsUnavailable where the key is in KMS.
    """
    if payment.settled_at is None:
        raise ValueError(f"payment {payment.pk} was not settled, so that nobody has received it")
    statement = signed_statements.receipt(
        network=payment.network,
        resource_url=loa("PUBLIC_ORIGIN") + payment.request_path,
        payer=payment.payer,
        issued_at=int(payment.settled_at.timestamp()),
        transaction=payment.transaction_hash,
    )
    return SignedReceipt(statement, signed_statements.statement_signer().address)
