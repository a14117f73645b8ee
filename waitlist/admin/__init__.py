"""Staff pages of the waitlist. Rows only show; what staff may do is to invite, once and with a reason."""

from waitlist.admin.batches import InviteBatchAdmin
from waitlist.admin.entries import EntryAdmin, MailAdmin

__all__ = ["EntryAdmin", "InviteBatchAdmin", "MailAdmin"]
