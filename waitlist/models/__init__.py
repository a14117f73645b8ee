"""Rows of the waitlist. They hold no rules; those are in `waitlist.services`."""

from waitlist.models.entry import Entry
from waitlist.models.invite_batch import InviteBatch
from waitlist.models.join_request import JoinRequest
from waitlist.models.mail import Mail

__all__ = ["Entry", "InviteBatch", "JoinRequest", "Mail"]
