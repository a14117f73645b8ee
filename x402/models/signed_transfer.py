"""The signed transfer a payment row was made from: what is sent to the chain, and what is looked for on it."""

from typing import Protocol

from x402.models.payment import Method
from x402.protocol.payload import Authorization, Permit2Authorization, SignedTransfer
from x402.protocol.schemes.exact_permit2 import EXACT_PROXY
from x402.protocol.schemes.upto import UPTO_PROXY


class TransferFacts(Protocol):
    """The columns of a payment that say what its payer signed. `facilitator` is empty for all but `upto`."""

    @property
    def method(self) -> str: ...
    @property
    def asset(self) -> str: ...
    @property
    def payer(self) -> str: ...
    @property
    def pay_to(self) -> str: ...
    @property
    def amount_micro_usdc(self) -> int: ...
    @property
    def valid_after(self) -> int: ...
    @property
    def valid_before(self) -> int: ...
    @property
    def nonce(self) -> str: ...
    @property
    def signature(self) -> bytes | memoryview: ...
    @property
    def facilitator(self) -> str: ...


def signed_transfer(row: TransferFacts) -> SignedTransfer:
    """The authorization or permit of this row, bit for bit as it was signed."""
    payer, pay_to, nonce = (bytes.fromhex(text[2:]) for text in (row.payer, row.pay_to, row.nonce))
    if row.method != Method.PERMIT2:
        return Authorization(
            from_=payer,
            to=pay_to,
            value=row.amount_micro_usdc,
            valid_after=row.valid_after,
            valid_before=row.valid_before,
            nonce=nonce,
            signature=bytes(row.signature),
        )
    facilitator = bytes.fromhex(row.facilitator[2:]) if row.facilitator else None
    return Permit2Authorization(
        from_=payer,
        token=bytes.fromhex(row.asset[2:]),
        amount=row.amount_micro_usdc,
        spender=EXACT_PROXY if facilitator is None else UPTO_PROXY,
        nonce=int.from_bytes(nonce, "big"),
        deadline=row.valid_before - 1,
        to=pay_to,
        valid_after=row.valid_after,
        facilitator=facilitator,
        signature=bytes(row.signature),
    )
