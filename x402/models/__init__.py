"""Rows of the payment side: what was offered, what was paid, how it reached the chain, and what was answered."""

from x402.models.answer import StoredAnswer
from x402.models.exposure import Exposure
from x402.models.facilitated import FacilitatedPayment, FacilitatedState
from x402.models.payment import Payment, PaymentState
from x402.models.quote import KeptQuote
from x402.models.reconciliation import Reconciliation
from x402.models.refund import Refund, RefundDay, RefundState
from x402.models.remote import RemoteAttempt, RemoteOutcome
from x402.models.settlement import ChainTransaction, ConsumedLog, Relayer, SettlementAttempt, TransactionState

__all__ = [
    "ChainTransaction",
    "ConsumedLog",
    "Exposure",
    "FacilitatedPayment",
    "FacilitatedState",
    "KeptQuote",
    "Payment",
    "PaymentState",
    "Reconciliation",
    "Refund",
    "RefundDay",
    "RefundState",
    "Relayer",
    "RemoteAttempt",
    "RemoteOutcome",
    "SettlementAttempt",
    "StoredAnswer",
    "TransactionState",
]
