"""The ledger: double-entry accounts in Postgres that no caller can make lie, and the credit notes on top of them."""
