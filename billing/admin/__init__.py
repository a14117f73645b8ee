"""Staff pages of the ledger. They show everything and change nothing: corrections are journals, written by services.

`read_only`, `keyset`, `sections`, `formats` and `charts` are what every app's staff pages are made of.
"""

from billing.admin.accounts import AccountAdmin
from billing.admin.credit_notes import CreditNoteAdmin
from billing.admin.entries import BillingEntryAdmin, DeadLetterAdmin
from billing.admin.journals import JournalAdmin
from billing.admin.streams import StreamAdmin

__all__ = [
    "AccountAdmin",
    "BillingEntryAdmin",
    "CreditNoteAdmin",
    "DeadLetterAdmin",
    "JournalAdmin",
    "StreamAdmin",
]
