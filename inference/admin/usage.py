"""What calls consumed, and the keys buyers brought along. Both only show; of a key nothing but its last letters."""

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, choice_filter, shown_as
from inference.models import CallUsage, OwnKey


@admin.register(CallUsage)
class CallUsageAdmin(ReadOnlyAdmin):
    """Units: tokens. Deviating: the upstream's count is far from ours."""

    keyset = ("id",)
    found_by = ("payment_id", "account_id")
    search_help_text = "Exactly a payment's or an account's id."
    list_filter = (
        choice_filter(
            "deviating",
            "deviating",
            ("yes", "no"),
            narrows=lambda rows, choice: rows.filter(is_deviating=choice == "yes"),
        ),
    )
    list_display = ("payment", "model", "upstream", "billed", "reported", "charged", "is_deviating", "created")
    list_display_links = ("payment",)
    fields = (
        "payment",
        "account",
        "model",
        "price_version",
        "upstream",
        "billed",
        "counted",
        "reported",
        "charged",
        "finish_reason",
        "is_streamed",
        "has_own_key",
        "is_deviating",
        "created",
    )

    payment = shown_as(lambda row: identifier_of(row.payment_id), "payment")
    account = shown_as(lambda row: identifier_of(row.account_id), "account")
    billed = shown_as(lambda row: f"{row.input_tokens} in, {row.output_tokens} out", "charged tokens")
    counted = shown_as(lambda row: f"{row.counted_input_tokens} in, {row.counted_output_tokens} out", "our count")
    charged = shown_as(lambda row: amount_of(row.charged_micro_usdc, denomination="MicroUSD"), "charged")
    created = shown_as(lambda row: moment_of(row.created_at), "when")

    @admin.display(description="upstream's count")
    def reported(self, row: CallUsage) -> str:
        """What the upstream said, or a dash when it said nothing usable."""
        if row.reported_input_tokens is None:
            return NOTHING
        return f"{row.reported_input_tokens} in, {row.reported_output_tokens} out"


@admin.register(OwnKey)
class OwnKeyAdmin(ReadOnlyAdmin):
    """The sealed key itself is not shown to anybody."""

    keyset = ("id",)
    found_by = ("account_id",)
    found_by_prefix = ("id",)
    search_help_text = "Key id or its beginning, or an account's id."
    list_display = ("identifier", "account", "upstream", "hint", "daily_limit", "created", "ended")
    fields = ("identifier", "account", "upstream", "label", "hint", "daily_limit", "created", "ended")

    identifier = shown_as(lambda row: identifier_of(row.id), "key")
    account = shown_as(lambda row: identifier_of(row.account_id), "account")
    created = shown_as(lambda row: moment_of(row.created_at), "kept")
    ended = shown_as(lambda row: moment_of(row.ended_at) if row.ended_at else NOTHING, "ended")

    def get_exclude(self, request: HttpRequest, obj: OwnKey | None = None) -> tuple[str, ...]:
        return ("sealed",)
