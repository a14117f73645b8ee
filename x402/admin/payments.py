"""Payments: what was paid by whom for what, in which state it is, and every way to follow it further."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of, short_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.selectors.credit_notes import notes_from
from x402.admin.figures import UNSERVED, UNSETTLED
from x402.models import Payment, PaymentState
from x402.models.payment import Method

TRACE_PLACE = "{trace_id}"  # what settings.TRACE_URL replaces with the trace's id

PROGRESS = {"unsettled": UNSETTLED, "unfinished": UNSERVED}


def by_progress(queryset: QuerySet[Any], choice: str) -> QuerySet[Any]:
    """Open payments, named so that the partial index of open payments can be used."""
    return queryset.filter(state__in=UNSERVED).filter(state__in=PROGRESS[choice])


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Found by payment id or its beginning, payer, transaction hash, quote id and correlation id."""

    keyset = ("created_at", "id")
    found_by = ("payer", "transaction_hash", "correlation_id")
    found_by_prefix = ("id",)
    search_help_text = "Payment id or its beginning, payer address, transaction hash, or quote id."
    list_display = ("identifier", "state_label", "arrived", "amount", "charged", "returned", "payer_short")
    list_display_links = ("identifier",)
    list_filter = (
        choice_filter("progress", "progress", list(PROGRESS), narrows=by_progress),
        choice_filter("state", "state", PaymentState.values, narrows=by_field("state")),
        choice_filter("method", "method", Method.values, narrows=by_field("method")),
    )
    fieldsets = (
        (None, {"fields": ("state_label", "amount", "credit_applied", "charged", "returned", "overrun", "failure")}),
        (
            "Who and what",
            {"fields": ("payer_address", "method", "request", "description_of_price", "arrived", "settled", "served")},
        ),
        (
            "On the chain",
            {"fields": ("network", "asset_address", "recipient", "transaction", "block", "nonce_value", "scheme")},
        ),
        (
            "Follow it",
            {"fields": ("correlation", "quote", "entry", "account", "trace", "attempt", "lease", "identifier")},
        ),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "payment")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    amount = shown_as(lambda row: amount_of(row.amount_micro_usdc), "paid")
    credit_applied = shown_as(lambda row: amount_of(row.credit_applied_micro_usdc), "credit notes applied")
    charged = shown_as(lambda row: amount_of(row.charged_micro_usdc), "charged")
    overrun = shown_as(lambda row: amount_of(row.overrun_micro_usdc), "cost above the maximum")
    returned = shown_as(lambda row: amount_of(came_back(row)), "came back")
    payer_short = shown_as(lambda row: short_of(row.payer), "payer")
    payer_address = shown_as(lambda row: identifier_of(row.payer), "payer")
    arrived = shown_as(lambda row: moment_of(row.created_at), "arrived")
    settled = shown_as(lambda row: moment_of(row.settled_at), "settled")
    served = shown_as(lambda row: moment_of(row.served_at), "served")
    lease = shown_as(lambda row: moment_of(row.lease_until), "owner's lease until")
    asset_address = shown_as(lambda row: identifier_of(row.asset), "asset")
    recipient = shown_as(lambda row: identifier_of(row.pay_to), "pay to")
    transaction = shown_as(lambda row: identifier_of(row.transaction_hash), "transaction")
    nonce_value = shown_as(lambda row: identifier_of(row.nonce), "nonce")
    correlation = shown_as(lambda row: identifier_of(row.correlation_id), "correlation id")
    quote = shown_as(lambda row: identifier_of(row.quote_id), "quote")
    request = shown_as(lambda row: f"{row.request_method} {row.request_path}", "request")
    description_of_price = shown_as(lambda row: f"version {row.price_version}", "price")
    failure = shown_as(
        lambda row: f"{row.failure_code} ({row.failure_status})" if row.failure_code else NOTHING, "failure"
    )
    block = shown_as(
        lambda row: NOTHING if row.block_number is None else f"{row.block_number}, log {row.log_index}", "block"
    )

    @admin.display(description="billing entry")
    def entry(self, row: Payment) -> str:
        """The lifecycle row of the ledger; it exists from settlement on."""
        if row.settled_at is None:
            return identifier_of(row.entry_id)
        return identifier_of(row.entry_id, url=url_of("billing.billingentry", row.entry_id))

    @admin.display(description="account")
    def account(self, row: Payment) -> str:
        """The payer's account."""
        return identifier_of(row.account_id, url=url_of("accounts.account", row.account_id))

    @admin.display(description="trace")
    def trace(self, row: Payment) -> str:
        """The trace of the paying request, linked when the deployment says where traces are read."""
        trace_id = trace_id_of(row.trace_context)
        if not trace_id:
            return NOTHING
        address = getattr(settings, "TRACE_URL", "").replace(TRACE_PLACE, trace_id)
        return identifier_of(trace_id, url=address)

    def links_of(self, row: Payment, request: HttpRequest) -> Sequence[Link]:
        return (
            Link("Journals of this payment", list_url("billing.journal", q=row.correlation_id)),
            Link("Payments of this payer", list_url("x402.payment", q=row.payer)),
        )

    def sections_of(self, row: Payment, request: HttpRequest) -> Sequence[Section]:
        return (notes_section(row), attempts_section(row, size=self.list_per_page))


def came_back(row: Payment) -> int | None:
    """What of the payment became a credit note; None while that is open. Units: MicroUSDC."""
    match row.state:
        case PaymentState.SERVED:
            return row.held_micro_usdc - (row.charged_micro_usdc or 0)
        case PaymentState.CREDITED | PaymentState.REFUNDED:
            return row.held_micro_usdc
    return None


def notes_section(row: Payment) -> Section:
    """The credit notes this payment gave rise to."""
    return Section(
        "Credit notes",
        (Column("Note"), Column("Kind"), Column("Amount", is_figure=True), Column("Remaining", is_figure=True)),
        [
            (
                identifier_of(note.id, url=url_of("billing.creditnote", note.id)),
                note.kind,
                amount_of(note.amount, denomination=note.denomination),
                amount_of(note.remaining, denomination=note.denomination),
            )
            for note in notes_from(row.id)
        ],
        when_empty="It gave rise to none.",
    )


def attempts_section(row: Payment, *, size: int) -> Section:
    """The relayer's transactions that carried it, the newest first."""
    attempts = row.settlement_attempts.select_related("transaction").order_by("-pk")[:size]
    return Section(
        "Settlement attempts",
        (
            Column("Transaction"),
            Column("State"),
            Column("Block"),
            Column("Position", is_figure=True),
            Column("Stored"),
        ),
        [
            (
                identifier_of(one.transaction.transaction_hash, url=url_of(one.transaction, one.transaction_id)),
                state_of(one.transaction.state),
                one.transaction.block_number or NOTHING,
                one.position,
                moment_of(one.created_at),
            )
            for one in attempts
        ],
        when_empty="Our relayer has carried it in no transaction.",
    )


def trace_id_of(trace_context: str) -> str:
    """The trace id inside a W3C traceparent; empty when there is none.

    >>> trace_id_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    parts = trace_context.split("-")
    return parts[1] if len(parts) == 4 else ""
