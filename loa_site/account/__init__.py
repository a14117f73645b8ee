"""The payer's own page: payments, receipts, credit, refunds and API keys, for people without a command line."""
