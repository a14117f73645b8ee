"""Rows of who someone is. They hold no rules; those are in `accounts.services`."""

from accounts.models.account import Account, Wallet
from accounts.models.audit_event import AuditEvent
from accounts.models.session import Session, UsedNonce

__all__ = ["Account", "AuditEvent", "Session", "UsedNonce", "Wallet"]
