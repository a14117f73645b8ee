"""Staff pages about who someone is: accounts, wallets, sessions and the audit log. All of them only show."""

from importlib import import_module

from django.apps import apps

from accounts.admin.access import AllowlistEntryAdmin, FeatureFlagAdmin
from accounts.admin.accounts import AccountAdmin, WalletAdmin
from accounts.admin.audit import AuditEventAdmin
from accounts.admin.sessions import SessionAdmin

__all__ = [
    "AccountAdmin",
    "AllowlistEntryAdmin",
    "AuditEventAdmin",
    "FeatureFlagAdmin",
    "SessionAdmin",
    "WalletAdmin",
]

if apps.is_installed("django_otp"):
    # A project that has staff sign in another way installs no second factor, and needs none of this.
    import_module("accounts.admin.sign_in")
