"""Refunds on chain: how far each has come, and those above a wallet's daily limit, which two people allow.

The ledger refuses a refund above the limit without an approval for exactly this refund, amount and wallet. One person
asks from the refused refund's page; when a second one agrees, a refund with the approved id is begun.
"""

from typing import Final, Protocol

from django.contrib import admin

from billing.admin.acts import Act, ActingAdmin
from billing.admin.approvals import FOLLOW_UPS
from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of, short_of, state_of
from billing.admin.read_only import by_field, choice_filter, shown_as, url_of
from billing.domain.errors import Refused
from billing.domain.journal import JournalKind
from billing.services import corrections
from billing.services.staff_acts import Ask
from telemetry.identifiers import new_id
from x402.models import Refund, RefundState
from x402.services import refunds
from x402.services.refunds import RefundRefused, Wish

NEEDS_APPROVAL: Final = "refund_needs_approval"


class ApprovalRow(Protocol):
    """What of an approval is needed here; the row itself is billing's."""

    id: str
    target: str
    destination: str
    amount: int


def ask_above_limit(row: Refund, ask: Ask) -> str:
    approval_id = corrections.request_approval(
        kind=JournalKind.CREDIT_NOTE_REFUND_STARTED,
        target=new_id("ref"),
        denomination=refunds.denomination_of(row),
        amount=row.amount_micro_usdc,
        destination=row.wallet,
        reason=ask.reason,
        maker=ask.actor,
    )
    return f"{approval_id} waits for a second person's yes."


def pay_approved(approval: ApprovalRow, ask: Ask) -> str:
    """Begin the refund that two people agreed on."""
    account_id = Refund.objects.filter(wallet=approval.destination).values_list("account_id", flat=True).first()
    corrections.grant_approval(approval_id=approval.id, checker=ask.actor)
    wish = Wish(
        wallet=approval.destination,
        account_id=account_id or "",
        amount_micro_usdc=approval.amount,
        refund_id=approval.target,
        approval_id=approval.id,
    )
    try:
        refund = refunds.request(wish)
    except RefundRefused as refusal:
        raise Refused(refund_id=approval.target, code=refusal.code, detail=refusal.detail) from refusal
    return f"{refund.pk} is {refund.state}; it is paid to the wallet and nowhere else."


FOLLOW_UPS[JournalKind.CREDIT_NOTE_REFUND_STARTED] = pay_approved


@admin.register(Refund)
class RefundAdmin(ActingAdmin):
    """Found by id or its beginning, wallet, or transaction hash."""

    acts = (
        Act(
            "above-limit",
            "Ask to pay it above the limit",
            "The wallet's daily limit refused it. With a second person's yes it is paid: this amount, to this wallet.",
            "billing.request_approval",
            ask_above_limit,
            lambda row: row.state == RefundState.REFUSED and row.failure_code == NEEDS_APPROVAL,
        ),
    )
    keyset = ("id",)
    found_by = ("wallet", "transaction_hash")
    found_by_prefix = ("id",)
    search_help_text = "Refund id or its beginning, wallet address, or transaction hash."
    list_display = ("identifier", "state_label", "amount", "wallet_short", "cause", "asked", "failure")
    list_filter = (choice_filter("state", "state", RefundState.values, narrows=by_field("state")),)
    fields = (
        "state_label",
        "amount",
        "wallet_label",
        "account",
        "cause",
        "approval",
        "network",
        "transaction",
        "failure",
        "asked",
        "ended",
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "refund")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    amount = shown_as(lambda row: amount_of(row.amount_micro_usdc), "amount")
    wallet_short = shown_as(lambda row: short_of(row.wallet), "wallet")
    wallet_label = shown_as(lambda row: identifier_of(row.wallet), "wallet")
    transaction = shown_as(lambda row: identifier_of(row.transaction_hash), "transaction")
    failure = shown_as(lambda row: row.failure_code or NOTHING, "refused because")
    asked = shown_as(lambda row: moment_of(row.created_at), "asked")
    ended = shown_as(lambda row: moment_of(row.ended_at), "ended")
    account = shown_as(
        lambda row: identifier_of(row.account_id, url=url_of("accounts.account", row.account_id)), "account"
    )
    approval = shown_as(
        lambda row: (
            identifier_of(row.approval_id, url=url_of("billing.approval", row.approval_id))
            if row.approval_id
            else NOTHING
        ),
        "approval",
    )
