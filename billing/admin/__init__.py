"""Staff pages of the ledger. Rows of value are shown and never edited: corrections are journals, written by services.

`read_only`, `keyset`, `sections`, `formats` and `charts` are what every app's staff pages are made of.
"""

from billing.admin.accounts import AccountAdmin
from billing.admin.approvals import ApprovalAdmin
from billing.admin.credit_notes import CreditNoteAdmin
from billing.admin.dead_letters import BulkDecisionAdmin, DeadLetterAdmin
from billing.admin.entries import BillingEntryAdmin
from billing.admin.journals import JournalAdmin
from billing.admin.streams import StreamAdmin
from billing.admin.webhooks import OutboxEventAdmin, WebhookDeliveryAdmin, WebhookEndpointAdmin

__all__ = [
    "AccountAdmin",
    "ApprovalAdmin",
    "BillingEntryAdmin",
    "BulkDecisionAdmin",
    "CreditNoteAdmin",
    "DeadLetterAdmin",
    "JournalAdmin",
    "OutboxEventAdmin",
    "StreamAdmin",
    "WebhookDeliveryAdmin",
    "WebhookEndpointAdmin",
]
