"""Payments, receipts and credit over HTTP, for those who paid."""
