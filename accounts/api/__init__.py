"""Signing in with a wallet, over HTTP."""
