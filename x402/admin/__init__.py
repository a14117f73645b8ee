"""Staff pages of the payment side: payments, kept quotes and the relayer's transactions. All of them only show."""

from x402.admin.payments import PaymentAdmin
from x402.admin.quotes import KeptQuoteAdmin
from x402.admin.reconciliation import ReconciliationAdmin
from x402.admin.refunds import RefundAdmin
from x402.admin.settlements import ChainTransactionAdmin, RelayerAdmin

__all__ = [
    "ChainTransactionAdmin",
    "KeptQuoteAdmin",
    "PaymentAdmin",
    "ReconciliationAdmin",
    "RefundAdmin",
    "RelayerAdmin",
]
