"""Rows of the ledger, for reading. The database's own functions write them; saving a model here is refused there.

The tables live in the schema `billing` and are made by the SQL in `billing/sql`, so the models are unmanaged.
"""

from billing.models.accounts import Account, AccountShape, Balance, JournalKindRow, PostingTemplate
from billing.models.credit_notes import CreditNote, CreditNoteMovement
from billing.models.entries import BillingEntry
from billing.models.journals import IdempotencyKey, Journal, Posting, Stream
from billing.models.operations import Anchor, Approval, ApprovalGrant, DeadLetter

# The ledger's tables are outside the schema `public`, where the application role gets its other grants.
PROTECTED_TABLES: frozenset[str] = frozenset()

__all__ = [
    "PROTECTED_TABLES",
    "Account",
    "AccountShape",
    "Anchor",
    "Approval",
    "ApprovalGrant",
    "Balance",
    "BillingEntry",
    "CreditNote",
    "CreditNoteMovement",
    "DeadLetter",
    "IdempotencyKey",
    "Journal",
    "JournalKindRow",
    "Posting",
    "PostingTemplate",
    "Stream",
]
