"""Reading the ledger: balances, statements, reports. Nothing here writes, locks or decides.

Every figure is an int in its denomination's atomic unit, credit positive and debit negative. Rows are read with one
query each; a page is found by key, never by offset, and nothing counts a big table.
"""
