"""How far holders have come in the wizard; it only shows."""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.formats import NOTHING, identifier_of, moment_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Link
from nft.domain.onboarding import Step
from nft.models import OnboardingSession


@admin.register(OnboardingSession)
class OnboardingSessionAdmin(ReadOnlyAdmin):
    """Found by the wallet, when somebody says that the wizard is stuck."""

    keyset = ("created_at", "id")
    found_by = ("wallet", "account_id", "token_id")
    found_by_prefix = ("id",)
    search_help_text = "Onboarding id or its beginning, or exactly a wallet, an account or a token id."
    list_filter = (choice_filter("step", "step", [step.value for step in Step], narrows=by_field("step")),)
    list_display = ("identifier", "wallet_label", "step_label", "chosen", "changed", "ended")
    fields = (
        *("identifier", "wallet_label", "account", "step_label", "chosen", "found", "version"),
        *("created", "changed", "completed", "ended"),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "onboarding")
    wallet_label = shown_as(lambda row: identifier_of(row.wallet), "wallet")
    account = shown_as(
        lambda row: identifier_of(row.account_id, url=url_of("accounts.account", row.account_id)), "account"
    )
    step_label = shown_as(lambda row: state_of(row.step), "next step")
    chosen = shown_as(lambda row: f"{row.collection} #{row.token_id}" if row.token_id else NOTHING, "token")
    found = shown_as(lambda row: len(row.found_tokens), "tokens found")
    created = shown_as(lambda row: moment_of(row.created_at), "begun")
    changed = shown_as(lambda row: moment_of(row.updated_at), "changed")
    completed = shown_as(lambda row: moment_of(row.completed_at), "completed")
    ended = shown_as(lambda row: moment_of(row.expired_at), "ended unfinished")

    def links_of(self, row: OnboardingSession, request: HttpRequest) -> Sequence[Link]:
        if not row.token_id:
            return ()
        return (Link("The token's agent", list_url("nft.personality", q=row.token_id)),)
