"""Rows of the ledger, for reading. The database's own functions write them; saving a model here is refused there.

The tables live in the schema `billing` and are made by the SQL in `billing/sql`, so the models are unmanaged.
"""

from billing.models.accounts import Account, AccountShape, Balance, JournalKindRow, PostingTemplate
from billing.models.credit_notes import CreditNote, CreditNoteMovement
from billing.models.entries import BillingEntry
from billing.models.journals import IdempotencyKey, Journal, Posting, Stream
from billing.models.operations import Anchor, Approval, ApprovalGrant, DeadLetter
from billing.models.outbox import DeliveryState, OutboxCursor, OutboxEvent, WebhookDelivery, WebhookEndpoint
from billing.models.staff_acts import BulkDecision, QueuePace, StaffAct

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
    "BulkDecision",
    "CreditNote",
    "CreditNoteMovement",
    "DeadLetter",
    "DeliveryState",
    "IdempotencyKey",
    "Journal",
    "JournalKindRow",
    "OutboxCursor",
    "OutboxEvent",
    "Posting",
    "PostingTemplate",
    "QueuePace",
    "StaffAct",
    "Stream",
    "WebhookDelivery",
    "WebhookEndpoint",
]
