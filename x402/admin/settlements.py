"""The relayer's signed transactions and the payments each carried, and the relayer keys themselves."""

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest

from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of, short_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, shown_as, url_of
from billing.admin.sections import Column, Section
from x402.models import ChainTransaction, Relayer, TransactionState

OUTCOMES = {True: "succeeded", False: "reverted", None: NOTHING}
MEMBERS_SHOWN_MAX = 200  # the largest batch one transaction carries


@admin.register(ChainTransaction)
class ChainTransactionAdmin(ReadOnlyAdmin):
    """Signed bytes are not shown: they are of no use here and long."""

    keyset = ("id",)
    found_by = ("transaction_hash",)
    search_help_text = "Transaction hash."
    list_display = ("transaction_short", "state_label", "payment_count", "outcome", "fee", "block_number", "stored")
    list_filter = (choice_filter("state", "state", TransactionState.values, narrows=by_field("state")),)
    fields = (
        "transaction",
        "state_label",
        "outcome",
        "payment_count",
        "network",
        "relayer_address",
        "nonce",
        "block",
        "gas",
        "fee",
        "replaced",
        "stored",
        "broadcast",
    )

    transaction_short = shown_as(lambda row: short_of(row.transaction_hash), "transaction")
    transaction = shown_as(lambda row: identifier_of(row.transaction_hash), "transaction")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    outcome = shown_as(lambda row: OUTCOMES[row.succeeded], "outcome")
    relayer_address = shown_as(lambda row: identifier_of(row.relayer), "relayer")
    fee = shown_as(lambda row: NOTHING if row.fee_wei is None else f"{int(row.fee_wei):,} wei", "fee")
    gas = shown_as(lambda row: f"{row.gas_used or 0:,} used of {row.gas_limit:,}", "gas")
    block = shown_as(
        lambda row: identifier_of(f"{row.block_number} {row.block_hash}" if row.block_number else ""), "block"
    )
    stored = shown_as(lambda row: moment_of(row.created_at), "stored")
    broadcast = shown_as(lambda row: moment_of(row.broadcast_at), "first broadcast")

    @admin.display(description="replaces")
    def replaced(self, row: ChainTransaction) -> str:
        """The transaction whose account nonce this one takes over."""
        return (
            NOTHING if row.replaces_id is None else identifier_of(str(row.replaces), url=url_of(row, row.replaces_id))
        )

    def sections_of(self, row: ChainTransaction, request: HttpRequest) -> Sequence[Section]:
        members = row.attempts.select_related("payment").order_by("position")[:MEMBERS_SHOWN_MAX]
        return (
            Section(
                "Payments it carries",
                (
                    Column("Position", is_figure=True),
                    Column("Payment"),
                    Column("State"),
                    Column("Amount", is_figure=True),
                ),
                [
                    (
                        one.position,
                        identifier_of(one.payment_id, url=url_of(one.payment, one.payment_id)),
                        state_of(one.payment.state),
                        amount_of(one.payment.amount_micro_usdc),
                    )
                    for one in members
                ],
            ),
        )


@admin.register(Relayer)
class RelayerAdmin(ReadOnlyAdmin):
    """Who may write with a relayer key now. Keys themselves are settings and are shown nowhere."""

    keyset = ("id",)
    list_display = ("address_label", "network", "next_nonce", "holder", "lease")
    fields = ("address_label", "network", "next_nonce", "holder", "epoch", "lease")

    address_label = shown_as(lambda row: identifier_of(row.address), "relayer")
    lease = shown_as(lambda row: moment_of(row.lease_until), "lease until")
