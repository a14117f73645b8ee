"""Staff pages about who someone is: accounts, wallets, sessions and the audit log. All of them only show."""

from accounts.admin.access import AllowlistEntryAdmin, FeatureFlagAdmin
from accounts.admin.accounts import AccountAdmin, WalletAdmin
from accounts.admin.audit import AuditEventAdmin
from accounts.admin.sessions import SessionAdmin
from accounts.admin.sign_in import StaffAuthenticationForm

__all__ = [
    "AccountAdmin",
    "AllowlistEntryAdmin",
    "AuditEventAdmin",
    "FeatureFlagAdmin",
    "SessionAdmin",
    "StaffAuthenticationForm",
    "WalletAdmin",
]
