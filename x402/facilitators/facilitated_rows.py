"""Payments carried for other sites, as the relayer sees them: which are due, and the transaction they travel in.

They share the relayer's key, lease and account nonces with our own payments, and never a transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from django.db import connection, transaction

from x402.chain.transactions import SignedTransaction
from x402.facilitators.due_payments import DuePayment, DueRow, together
from x402.facilitators.relayer_lease import LEASE_SECONDS, holder
from x402.facilitators.transaction_rows import MINIMUM_LIFETIME_SECONDS, Lead, LeaseLost, PendingTransaction
from x402.models import ChainTransaction, FacilitatedPayment, FacilitatedState
from x402.models.signed_transfer import signed_transfer

_DUE = """
WITH lease AS (
  SELECT 1 AS held FROM x402_relayer
  WHERE network = %(network)s AND address = %(relayer)s AND holder = %(holder)s AND epoch = %(epoch)s FOR UPDATE
), due AS (
SELECT id, asset, payer, pay_to, amount_micro_usdc, valid_after, valid_before, nonce, signature, false, method,
  facilitator, due_micro_usdc
FROM x402_facilitatedpayment
WHERE network = %(network)s AND EXISTS (SELECT FROM lease) AND state IN ('accepted', 'settlement_unknown')
  AND lease_until > clock_timestamp()
  AND (facilitator = %(relayer)s OR (facilitator = '' AND NOT %(is_retired)s))
  AND valid_before > extract(epoch FROM clock_timestamp()) + %(lifetime)s
ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
SELECT due.* FROM lease LEFT JOIN due ON true
"""
_ANY_DUE = """
SELECT EXISTS (SELECT FROM x402_facilitatedpayment WHERE network = %s AND state IN ('accepted', 'settlement_unknown')
  AND lease_until > clock_timestamp())
"""
_STORE = """
WITH stored AS (
  INSERT INTO x402_chaintransaction (network, relayer, nonce, transaction_hash, raw, state, gas_limit,
    max_fee_per_gas_wei, max_priority_fee_per_gas_wei, payment_count, block_hash, created_at, broadcast_at)
  VALUES (%(network)s, %(relayer)s, %(nonce)s, %(hash)s, %(raw)s, 'broadcast', %(gas_limit)s,
    %(max_fee)s, %(priority_fee)s, cardinality(%(ids)s::text[]), '', clock_timestamp(), clock_timestamp())
  RETURNING id
), moved AS (
  UPDATE x402_facilitatedpayment SET state = 'settling', transaction_id = stored.id, transaction_hash = %(hash)s,
    attempts = attempts + 1, updated_at = clock_timestamp()
  FROM stored WHERE x402_facilitatedpayment.id = ANY(%(ids)s::text[])
    AND state IN ('accepted', 'settlement_unknown') RETURNING x402_facilitatedpayment.id
), advanced AS (
  UPDATE x402_relayer SET next_nonce = %(nonce)s + 1,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
  WHERE network = %(network)s AND address = %(relayer)s
)
SELECT (SELECT id FROM stored), (SELECT count(*) FROM moved)
"""


def is_anything_due(network: str) -> bool:
    """Whether another site's payment waits to be settled. Locks nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_ANY_DUE, [network])
        return bool(cursor.fetchone()[0])


def store_batch(
    lead: Lead, *, limit: int, sign: Callable[[Sequence[DuePayment]], SignedTransaction]
) -> PendingTransaction | None:
    """Take up to `limit` due payments into one stored, signed transaction; None when nothing is due.

    Locks the relayer row, then the payment rows in order of age. Raises LeaseLost.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            _DUE,
            {
                "network": lead.network,
                "relayer": lead.relayer,
                "holder": holder(),
                "epoch": lead.epoch,
                "is_retired": lead.is_retired,
                "lifetime": MINIMUM_LIFETIME_SECONDS,
                "limit": limit,
            },
        )
        rows = cursor.fetchall()
        if not rows:
            raise LeaseLost
        due = together([DueRow(*row) for row in rows if row[0] is not None])
        if not due:
            return None
        signed = sign(due)
        cursor.execute(
            _STORE,
            {
                "network": lead.network,
                "relayer": lead.relayer,
                "nonce": signed.nonce,
                "hash": signed.transaction_hash,
                "raw": signed.raw,
                "gas_limit": signed.gas_limit,
                "max_fee": signed.max_fee_per_gas_wei,
                "priority_fee": signed.max_priority_fee_per_gas_wei,
                "ids": [payment.payment_id for payment in due],
                "lease_seconds": LEASE_SECONDS,
            },
        )
        row_id, moved = cursor.fetchone()
        if moved != len(due):
            raise LeaseLost
    return PendingTransaction(row_id, signed.nonce, signed.transaction_hash, signed.raw, tuple(due))


def members_of(rows: Sequence[ChainTransaction]) -> dict[int, tuple[DuePayment, ...]]:
    """Whom each of these transactions carries for other sites, by the transaction's row id."""
    members: dict[int, list[DuePayment]] = defaultdict(list)
    carried = FacilitatedPayment.objects.filter(transaction__in=rows, state=FacilitatedState.SETTLING)
    for row in carried.order_by("created_at"):
        due = DuePayment(row.id, row.asset, signed_transfer(row), row.due_micro_usdc)
        members[row.transaction_id or 0].append(due)
    return {row_id: tuple(payments) for row_id, payments in members.items()}
