"""Charging for an HTTP request in USDC over x402: price it, take a signature, settle it, serve it, account for it."""
