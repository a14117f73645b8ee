"""What one person asked for and a second one has to agree to (rule R34): the two-person rule as pages.

The database refuses an approval by its maker, a second grant, a changed target and an expired question; these pages
only ask it. What happens once somebody agrees is registered here by kind, and done in the same act.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.admin.acts import Act, ActingAdmin
from billing.admin.dead_letters import decisions_about
from billing.admin.formats import NOTHING, amount_of, identifier_of, moment_of, state_of
from billing.admin.read_only import by_field, choice_filter, shown_as
from billing.admin.sections import Section
from billing.domain.errors import WrongState
from billing.domain.journal import JournalKind
from billing.domain.lifecycle import EntryState
from billing.models import Approval, BillingEntry, DeadLetter
from billing.services import corrections, dead_letters, fence
from billing.services.staff_acts import Ask

FollowUp = Callable[[Approval, Ask], str]
KINDS: Final = (
    JournalKind.FENCE_RESET,
    JournalKind.BILLING_VOID,
    JournalKind.CREDIT_NOTE_REFUND_STARTED,
    JournalKind.MANUAL_CREDIT,
    JournalKind.REVERSAL,
)


def reset_fence(row: Approval, ask: Ask) -> str:
    status = fence.reset_fence(int(row.target.removeprefix("stream:")), approval_id=row.id, checker=ask.actor)
    return f"The fence of stream {status.stream} is at its row's token {status.last_token} again."


def void_entry(row: Approval, ask: Ask) -> str:
    """Give the hold of a failed booking back, or booked revenue, and end the letter that was about it."""
    corrections.grant_approval(approval_id=row.id, checker=ask.actor)
    entry = BillingEntry.objects.filter(pk=row.target).first()
    if entry is None:
        raise WrongState(entry_id=row.target, state="unknown")
    if entry.state == EntryState.FINALIZE_ACKED:
        corrections.void_entry(entry_id=entry.id, amount=row.amount, reason=row.reason, approval_id=row.id)
        return "The revenue is given back to whoever paid it."
    corrections.void_unbooked(entry_id=entry.id, reason=row.reason, approval_id=row.id)
    for letter in DeadLetter.objects.filter(queue="finalize", entry_id=entry.id, state="poisoned"):
        dead_letters.void(letter.id, by=ask.actor, reason=f"given back: {row.reason}")
    return "The whole hold is given back to the payer."


FOLLOW_UPS: Final[dict[str, FollowUp]] = {
    JournalKind.FENCE_RESET: reset_fence,
    JournalKind.BILLING_VOID: void_entry,
}


def agree(row: Approval, ask: Ask) -> str:
    follow_up = FOLLOW_UPS.get(row.kind)
    if follow_up is not None:
        return follow_up(row, ask)
    corrections.grant_approval(approval_id=row.id, checker=ask.actor)
    return "Agreed. Whoever asked may do it now."


def is_waiting(row: Approval) -> bool:
    return grant_of(row) is None and row.expires_at > timezone.now()


def grant_of(row: Approval) -> Any:
    """The second person's yes, or None."""
    return getattr(row, "grant", None)


def state_label_of(row: Approval) -> str:
    if grant_of(row) is not None:
        return state_of("agreed")
    return state_of("pending" if is_waiting(row) else "expired")


def sum_of_approval(row: Approval) -> str:
    """A fence has no amount; the database wants one all the same."""
    return NOTHING if row.kind == JournalKind.FENCE_RESET else amount_of(row.amount, denomination=row.denomination)


@admin.register(Approval)
class ApprovalAdmin(ActingAdmin):
    """Newest first. Whoever asked cannot agree."""

    acts = (
        Act(
            "agree",
            "Agree",
            "You are the second person: what was asked for is done now, exactly as it stands here.",
            "billing.grant_approval",
            agree,
            is_waiting,
            commits_itself=True,
        ),
    )
    keyset = ("id",)
    found_by = ("target", "maker")
    found_by_prefix = ("id",)
    search_help_text = "Approval id or its beginning, its target, or who asked."
    list_display = ("identifier", "state_label", "kind", "target_label", "sum_label", "maker", "asked")
    list_filter = (choice_filter("kind", "kind", [kind.value for kind in KINDS], narrows=by_field("kind")),)
    fields = (
        "state_label",
        "kind",
        "target_label",
        "sum_label",
        "goes_to",
        "reason",
        "maker",
        "checker",
        "asked",
        "expires",
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "approval")
    state_label = shown_as(state_label_of, "state")
    target_label = shown_as(lambda row: identifier_of(row.target), "about")
    sum_label = shown_as(sum_of_approval, "amount")
    goes_to = shown_as(lambda row: identifier_of(row.destination), "goes to")
    checker = shown_as(lambda row: grant_of(row).checker if grant_of(row) else NOTHING, "second person")
    asked = shown_as(lambda row: moment_of(row.requested_at), "asked")
    expires = shown_as(lambda row: moment_of(row.expires_at), "expires")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        approvals: QuerySet[Any] = super().get_queryset(request).select_related("grant")
        return approvals

    def sections_of(self, row: Approval, request: HttpRequest) -> Sequence[Section]:
        return (decisions_about(row.id),)
