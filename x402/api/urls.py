"""Where payments and credit are found, below `/api/v1/`."""

from django.db import transaction
from django.urls import path

from x402.api.credits import CreditBalanceView, CreditHistoryView
from x402.api.payments import PaymentsView, PaymentView, ReceiptView
from x402.api.purchases import purchase
from x402.api.refunds import OneRefundView, RefundsView, RefundView

urlpatterns = [
    path("payments", PaymentsView.as_view(), name="payments"),
    path("payments/<str:payment_id>", PaymentView.as_view(), name="payment"),
    path("payments/<str:payment_id>/receipt", ReceiptView.as_view(), name="payment-receipt"),
    path("credits/balance", CreditBalanceView.as_view(), name="credits-balance"),
    path("credits/purchase", purchase, name="credits-purchase"),
    # It moves money in transactions of its own, also where a project wraps every request in one (R7).
    path("credits/refund", transaction.non_atomic_requests(RefundView.as_view()), name="credits-refund"),
    path("credits/refunds", RefundsView.as_view(), name="refunds"),
    path("credits/refunds/<str:refund_id>", OneRefundView.as_view(), name="refund"),
    path("credits/history", CreditHistoryView.as_view(), name="credits-history"),
]
