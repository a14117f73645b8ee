"""Sign-ins. Tokens are stored hashed, and not even the hashes are shown."""

from django.contrib import admin

from accounts.models import Session
from billing.admin.formats import identifier_of, moment_of, short_of
from billing.admin.read_only import ReadOnlyAdmin, shown_as, url_of


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    keyset = ("id",)
    found_by = ("wallet", "account_id")
    found_by_prefix = ("id",)
    search_help_text = "Session id or its beginning, wallet address, or account id."
    list_select_related = ("account",)
    list_display = ("identifier", "wallet_short", "owner", "created", "expires", "revoked")
    fields = (
        "identifier",
        "family",
        "wallet_address",
        "owner",
        "created",
        "expires",
        "refresh_expires",
        "refreshed",
        "revoked",
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "session")
    wallet_short = shown_as(lambda row: short_of(row.wallet), "wallet")
    wallet_address = shown_as(lambda row: identifier_of(row.wallet), "wallet")
    owner = shown_as(lambda row: identifier_of(row.account_id, url=url_of(row.account, row.account_id)), "account")
    created = shown_as(lambda row: moment_of(row.created_at), "signed in")
    expires = shown_as(lambda row: moment_of(row.expires_at), "expires")
    refresh_expires = shown_as(lambda row: moment_of(row.refresh_expires_at), "refresh until")
    refreshed = shown_as(lambda row: moment_of(row.refreshed_at), "refreshed")
    revoked = shown_as(lambda row: moment_of(row.revoked_at), "revoked")
