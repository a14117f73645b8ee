"""Locks of the ledger: who may write a stream now, and the tokens that prove it.

Redis gives the first gate (a lease and a compare-and-set of the last accepted token), the stream's row in
Postgres gives the second and is the authority. Redis may be flushed, paused, replaced or absent at any time:
the row alone keeps one writer per stream. What keeps money right is neither gate but the row locks, keys and
CHECKs of the append function, which hold with no fence at all.
"""
