"""The chain as the payment side sees it: a small JSON-RPC client, calldata and logs of a few contracts, transactions.

Reads here are evidence about a block; writes here are bytes a committed row already holds.
"""
