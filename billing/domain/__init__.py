"""The rules of the ledger in plain Python: no Django, no clock, no database.

Sign rule, written once: credit is positive, debit is negative, and the postings of every journal sum to zero
in each denomination. The constructors here assert it, the append function asserts it again before it writes,
a trigger asserts it on what was written, and `ledger_verify` on what is stored.
"""
