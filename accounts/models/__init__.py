"""Rows of who someone is. They hold no rules; those are in `accounts.services`."""

from accounts.models.access import AllowlistEntry, FeatureFlag
from accounts.models.account import Account, Wallet
from accounts.models.api_key import ApiKey, ApiKeyUse
from accounts.models.audit_event import AuditEvent
from accounts.models.security_key import SecurityKey
from accounts.models.session import Session, UsedNonce

__all__ = [
    "Account",
    "AllowlistEntry",
    "ApiKey",
    "ApiKeyUse",
    "AuditEvent",
    "FeatureFlag",
    "SecurityKey",
    "Session",
    "UsedNonce",
    "Wallet",
]
