"""Which payments are to be carried to the chain now, and which of them may share a transaction.

A payment that settles before its work, or after it, is carried while a live request waits for it: its lease says so.
Work that was answered before its settlement waits for others to share a transaction with until its lease ends, or its
deadline comes near. Nothing is carried whose amount the work has not said yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from x402.models import Payment
from x402.models.payment import Method
from x402.models.signed_transfer import TransferFacts, signed_transfer
from x402.protocol.payload import Authorization, SignedTransfer

GAS_PER_EIP3009 = 95_000  # measured: 90,500 for a payee that never held the token
GAS_PER_PERMIT2 = 150_000  # measured: 131,000 for a first use of a nonce's word and a payee that never held the token
BATCH_GAS = 4_800_000  # with the margin below a quarter of a 30 M gas block (R26)
DEADLINE_MARGIN_SECONDS = 60  # answered work is settled at the latest this long before its authorization ends

IS_DUE = f"""
  method IN ('eip3009', 'permit2') AND state IN ('verified', 'settlement_unknown') AND work <> 'failed'
  AND (settle_order = 'before' OR actual_micro_usdc > 0)
  AND (CASE WHEN work = 'answered' THEN lease_until <= clock_timestamp()
         OR (lease_until IS NOT NULL
             AND valid_before < extract(epoch FROM clock_timestamp()) + {DEADLINE_MARGIN_SECONDS})
       ELSE lease_until > clock_timestamp() END)
  AND (credit_applied_micro_usdc = 0 OR credit_held)
"""
COLUMNS = (
    "id, asset, payer, pay_to, amount_micro_usdc, valid_after, valid_before, nonce, signature, payer_has_code,"
    " method, facilitator, coalesce(actual_micro_usdc, amount_micro_usdc)"
)


class DueRow(NamedTuple):
    """One row of `COLUMNS`."""

    id: str
    asset: str
    payer: str
    pay_to: str
    amount_micro_usdc: int
    valid_after: int
    valid_before: int
    nonce: str
    signature: bytes
    payer_has_code: bool
    method: str
    facilitator: str
    due_micro_usdc: int


@dataclass(frozen=True, slots=True)
class DuePayment:
    """A payment on its way to the chain. `amount_micro_usdc` is what is moved; None means all that was signed."""

    payment_id: str
    asset: str
    authorization: SignedTransfer
    amount_micro_usdc: int | None = None

    @property
    def amount(self) -> int:
        """What the chain is asked to move, in the asset's atomic unit."""
        return self.authorization.value if self.amount_micro_usdc is None else self.amount_micro_usdc

    @property
    def is_upto(self) -> bool:
        """Whether only a direct call of the relayer can settle it (R2)."""
        return not isinstance(self.authorization, Authorization) and self.authorization.facilitator is not None

    @property
    def gas(self) -> int:
        """What its call may cost, without the transaction around it."""
        return GAS_PER_EIP3009 if isinstance(self.authorization, Authorization) else GAS_PER_PERMIT2


def due_payment(row: DueRow | Payment) -> DuePayment:
    """The payment of this row, as it is carried."""
    facts: TransferFacts = row
    return DuePayment(str(row.id), row.asset, signed_transfer(facts), row.due_micro_usdc)


def together(rows: Sequence[DueRow]) -> list[DuePayment]:
    """The payments that may share the next transaction, in their order; at least one when there is any.

    A payer with code goes alone (R26), and so does `upto` (R2). Two transfers that look the same on the chain never
    share a transaction where one of them has no nonce in its logs (R3).
    """
    chosen: list[DuePayment] = []
    gas = 0
    looks: dict[tuple[str, str, str, int], bool] = {}
    for row in rows:
        payment = due_payment(row)
        if row.payer_has_code or payment.is_upto:
            if not chosen:
                return [payment]
            continue
        look = (row.asset, row.payer, row.pay_to, row.due_micro_usdc)
        is_silent = row.method == Method.PERMIT2
        if look in looks and (is_silent or looks[look]):
            continue
        if gas + payment.gas > BATCH_GAS:
            break
        gas += payment.gas
        looks[look] = looks.get(look, False) or is_silent
        chosen.append(payment)
    return chosen
