"""The payment side's part of the ledger's proof: what a payment says happened is in the books.

A payment that was settled has the journal that received its money; one that was served has the one that charged it; one
that was credited has the one that gave it back. A row whose journals are missing is named.
"""

from typing import Final

from django.db.backends.utils import CursorWrapper

from billing.services.verification_findings import CheckResult, Finding

CHECK: Final = "payments"

# Keys of journals name the entry, so each look-up is one index seek.
_MISSING: Final = """
SELECT p.id, p.state, CASE WHEN e.id IS NULL THEN 'has no billing entry'
  WHEN p.state = 'served' THEN 'was served and its entry is ' || e.state
  WHEN p.state IN ('credited', 'refunded') THEN 'was credited and its entry is ' || e.state
  ELSE 'holds money and its entry is ' || e.state END
FROM x402_payment p LEFT JOIN billing.billing_entry e ON e.id = p.entry_id
WHERE p.state IN ('settled', 'serving', 'served', 'credited', 'refunded') AND p.minted_micro_usd = 0
  AND p.work <> 'answered' AND coalesce(p.actual_micro_usdc, 1) > 0  -- nothing was held for these
  AND (e.id IS NULL
    OR (p.state IN ('settled', 'serving') AND e.state <> 'RESERVE_HELD')
    OR (p.state = 'served'
      AND e.state NOT IN ('COMMITTED', 'FINALIZE_PENDING', 'FINALIZE_ACKED', 'FINALIZE_FAILED', 'VOIDED'))
    OR (p.state IN ('credited', 'refunded') AND e.state <> 'RELEASED'))
ORDER BY p.created_at LIMIT 1
"""
# The key of the journal that books a settlement names its log; a purchase's journal mints as well. Where the chain has
# mined the money again, the row names its new place and the key another one that the payment has consumed (R24).
_NOT_MINTED: Final = """
WITH doubtful AS MATERIALIZED (
  SELECT p.id, p.state, p.created_at FROM x402_payment p
  WHERE p.minted_micro_usd > 0 AND p.state IN ('settled', 'serving', 'served')
    AND NOT EXISTS (SELECT FROM billing.idempotency_key k
      WHERE k.key = concat_ws(':', 'settle', p.network, p.transaction_hash, p.block_hash, p.log_index))
)
SELECT d.id, d.state, 'bought credit that no journal minted' FROM doubtful d
WHERE NOT EXISTS (SELECT FROM x402_consumedlog c JOIN billing.idempotency_key k
  ON k.key >= concat_ws(':', 'settle', c.network, c.transaction_hash, '0x')
    AND k.key < concat_ws(':', 'settle', c.network, c.transaction_hash, '0y')
  WHERE c.beneficiary = d.id AND split_part(k.key, ':', -1) = c.log_index::text)
ORDER BY d.created_at LIMIT 1
"""
_COUNT: Final = (
    "SELECT count(*) FROM x402_payment WHERE state IN ('settled', 'serving', 'served', 'credited', 'refunded')"
)


def check_payments_have_journals(cursor: CursorWrapper) -> CheckResult:
    """That every payment which holds or moved money has the billing entry its state implies. Locks nothing."""
    cursor.execute(_COUNT)
    (count,) = cursor.fetchone()
    cursor.execute(_MISSING)
    row = cursor.fetchone()
    if row is None:
        cursor.execute(_NOT_MINTED)
        row = cursor.fetchone()
    finding = Finding(check=CHECK, where=str(row[0]), detail=f"the payment {row[2]}") if row else None
    return CheckResult(check=CHECK, row_count=int(count), finding=finding)
