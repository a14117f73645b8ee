"""Payments carried for other sites, as the relayer sees them: which are due, and the transaction they travel in.

They share the relayer's key, lease and account nonces with our own payments, and never a transaction.
"""

from collections import defaultdict
from collections.abc import Sequence

from x402.facilitators.due_payments import DuePayment
from x402.facilitators.transaction_rows import DueQueue
from x402.models import ChainTransaction, FacilitatedPayment, FacilitatedState
from x402.models.signed_transfer import signed_transfer

OTHER_SITES = DueQueue(
    table="x402_facilitatedpayment",
    columns="id, asset, payer, pay_to, amount_micro_usdc, valid_after, valid_before, nonce, signature, false, method,"
    " facilitator, due_micro_usdc",
    is_due="state IN ('accepted', 'settlement_unknown') AND lease_until > clock_timestamp()",
    moved="""moved AS (
  UPDATE x402_facilitatedpayment SET state = 'settling', transaction_id = stored.id, transaction_hash = %(hash)s,
    attempts = attempts + 1, updated_at = clock_timestamp()
  FROM stored WHERE x402_facilitatedpayment.id = ANY(%(ids)s::text[])
    AND state IN ('accepted', 'settlement_unknown') RETURNING x402_facilitatedpayment.id
)""",
)


def members_of(rows: Sequence[ChainTransaction]) -> dict[int, tuple[DuePayment, ...]]:
    """Whom each of these transactions carries for other sites, by the transaction's row id."""
    members: dict[int, list[DuePayment]] = defaultdict(list)
    carried = FacilitatedPayment.objects.filter(transaction__in=rows, state=FacilitatedState.SETTLING)
    for row in carried.order_by("created_at"):
        due = DuePayment(row.id, row.asset, signed_transfer(row), row.due_micro_usdc)
        members[row.transaction_id or 0].append(due)
    return {row_id: tuple(payments) for row_id, payments in members.items()}
