"""Dead letters: why, how often, when next, and what a person may do about one or about all of a kind."""

import json
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing.admin.acts import Act, ActingAdmin, ReasonForm, confirmation, tell
from billing.admin.formats import NOTHING, identifier_of, moment_of, state_of
from billing.admin.read_only import ReadOnlyAdmin, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.domain.journal import JournalKind
from billing.models import BillingEntry, BulkDecision, DeadLetter
from billing.services import bulk_decisions, corrections, dead_letters, staff_acts
from billing.services.bulk_decisions import Selection
from billing.services.staff_acts import Ask
from telemetry.propagation import trace_id_of

OPEN_STATES = ("pending", "poisoned")
QUEUES = ("settlement", "finalize")
EVENTS_SHOWN_MAX = 20
BULK_WORDS = {"retry": "Retry all of them", "void": "Void all of them"}


def is_open(row: DeadLetter) -> bool:
    """Whether somebody may still decide about it."""
    return row.state in OPEN_STATES


def retry(row: DeadLetter, ask: Ask) -> str:
    dead_letters.retry(row.id, by=ask.actor, reason=ask.reason)
    return "It is tried again now, with its refusals forgotten."


def void(row: DeadLetter, ask: Ask) -> str:
    dead_letters.void(row.id, by=ask.actor, reason=ask.reason)
    return "It is voided. What it was about stays as it is in the books."


def annotate(row: DeadLetter, ask: Ask) -> str:
    """The reason itself is the note: the audit log keeps it, and the letter's page shows it."""
    return "Your note stands below."


def ask_to_give_back(row: DeadLetter, ask: Ask) -> str:
    """Ask a second person to end a booking that failed by giving the whole hold back."""
    entry = BillingEntry.objects.get(pk=row.entry_id)
    approval_id = corrections.request_approval(
        kind=JournalKind.BILLING_VOID,
        target=entry.id,
        denomination=entry.denomination,
        amount=entry.held_amount,
        destination=entry.wallet or entry.account_id,
        reason=ask.reason,
        maker=ask.actor,
    )
    return f"{approval_id} waits for a second person's yes."


def may_be_given_back(row: DeadLetter) -> bool:
    return row.state == "poisoned" and bool(row.entry_id) and row.queue == "finalize"


ACTS = (
    Act(
        "retry",
        "Retry now",
        "The letter is tried again at once, and the refusals it had are forgotten: it has five attempts again.",
        "billing.retry_deadletter",
        retry,
        is_open,
    ),
    Act(
        "void",
        "Void",
        "Nobody tries it again. What it was about stays as it is in the books; money that is held stays held.",
        "billing.void_deadletter",
        void,
        is_open,
    ),
    Act("annotate", "Add a note", "A note for whoever looks at it next.", "billing.annotate_deadletter", annotate),
    Act(
        "give-back",
        "Ask to give the hold back",
        "Ends a booking that failed by giving all that is held back to the payer. A second person has to agree.",
        "billing.request_approval",
        ask_to_give_back,
        may_be_given_back,
    ),
)


@admin.register(DeadLetter)
class DeadLetterAdmin(ActingAdmin):
    """What could not be settled or booked yet, newest first; workers retry what is due."""

    acts = ACTS
    keyset = ("created_at", "id")
    found_by = ("subject_id", "entry_id")
    found_by_prefix = ("id",)
    change_list_template = "admin/dead_letters.html"
    search_help_text = "Dead letter id or its beginning, or the payment or entry it is about."
    list_display = ("identifier", "queue", "state_label", "reason", "attempt", "next_try", "created")
    list_filter = (
        choice_filter("queue", "queue", QUEUES, narrows=by_field("queue")),
        choice_filter("state", "state", ("pending", "poisoned", "done", "voided"), narrows=by_field("state")),
    )
    fieldsets = (
        (None, {"fields": ("state_label", "queue", "reason", "subject", "attempt", "next_try", "last_error")}),
        ("Follow it", {"fields": ("correlation", "entry", "trace", "holder", "lease")}),
        ("How it ended", {"fields": ("resolution_label", "resolved_by_label", "resolved", "escalated")}),
        ("What was to be booked", {"fields": ("content", "schema", "created", "updated")}),
    )

    identifier = shown_as(lambda row: identifier_of(row.id), "dead letter")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    subject = shown_as(lambda row: identifier_of(row.subject_id), "about")
    next_try = shown_as(lambda row: moment_of(row.next_retry_at) if row.state == "pending" else NOTHING, "next try")
    correlation = shown_as(lambda row: identifier_of(row.correlation_id), "correlation id")
    holder = shown_as(lambda row: row.owner or NOTHING, "worked on by")
    lease = shown_as(lambda row: moment_of(row.lease_until), "lease until")
    resolution_label = shown_as(lambda row: row.resolution or NOTHING, "resolution")
    resolved_by_label = shown_as(lambda row: row.resolved_by or NOTHING, "resolved by")
    resolved = shown_as(lambda row: moment_of(row.resolved_at), "resolved")
    escalated = shown_as(lambda row: moment_of(row.escalated_at), "escalated")
    created = shown_as(lambda row: moment_of(row.created_at), "created")
    updated = shown_as(lambda row: moment_of(row.updated_at), "updated")
    content = shown_as(
        lambda row: format_html('<pre tabindex="0">{}</pre>', json.dumps(row.payload, indent=2, sort_keys=True)),
        "content",
    )

    @admin.display(description="schema version")
    def schema(self, row: DeadLetter) -> str:
        """A letter of a version this release does not know is parked: nobody tries it."""
        is_known = row.schema_version in dead_letters.KNOWN_SCHEMA_VERSIONS
        return str(row.schema_version) if is_known else f"{row.schema_version} (parked: a newer release wrote it)"

    @admin.display(description="trace")
    def trace(self, row: DeadLetter) -> str:
        """The trace of the request behind it, linked when the deployment says where traces are read."""
        trace_id = trace_id_of(row.trace_context)
        return identifier_of(trace_id, url=settings.TRACE_URL.replace("{trace_id}", trace_id) if trace_id else "")

    @admin.display(description="billing entry")
    def entry(self, row: DeadLetter) -> str:
        """The entry whose journal is missing."""
        if not row.entry_id:
            return NOTHING
        return identifier_of(row.entry_id, url=url_of("billing.billingentry", row.entry_id))

    def ways_from(self, row: DeadLetter, request: HttpRequest) -> Sequence[Link]:
        return (
            Link("The payment", list_url("x402.payment", q=row.subject_id)),
            Link("Journals of this correlation", list_url("billing.journal", q=row.correlation_id)),
        )

    def sections_of(self, row: DeadLetter, request: HttpRequest) -> Sequence[Section]:
        return (decisions_about(row.id),)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.bulk_view)
        bulk = path("all/<slug:queue>/<slug:state>/<slug:act_name>/", view, name="billing_deadletter_bulk")
        return [bulk, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        queue, state = request.GET.get("queue", ""), request.GET.get("state", "")
        bulk: list[Link] = []
        if queue in QUEUES and state in OPEN_STATES and request.user.has_perm("billing.bulk_deadletter"):
            address = "admin:billing_deadletter_bulk"
            bulk = [Link(words, reverse(address, args=[queue, state, act])) for act, words in BULK_WORDS.items()]
        return super().changelist_view(request, {**(extra_context or {}), "bulk_links": bulk})

    def bulk_view(self, request: HttpRequest, queue: str, state: str, act_name: str) -> HttpResponse:
        """Ask once about all letters of a queue in a state; a worker does it."""
        if queue not in QUEUES or state not in OPEN_STATES or act_name not in BULK_WORDS:
            raise Http404("There is no such act.")
        if not request.user.has_perm("billing.bulk_deadletter"):
            raise PermissionDenied
        selection, back_url = Selection(queue, state), list_url("billing.deadletter", queue=queue, state=state)
        form = ReasonForm(request.POST or None, initial={"token": staff_acts.new_token()})
        if request.method == "POST" and form.is_valid():
            ask = Ask(
                form.cleaned_data["token"],
                request.user.get_username(),
                f"deadletter.bulk_{act_name}",
                f"{queue}:{state}",
                form.cleaned_data["reason"],
            )

            def perform() -> str:
                decision = bulk_decisions.ask(selection, act=act_name, by=ask.actor, reason=ask.reason)
                return f"{decision.pk} is carried out by a worker now."

            tell(request, ask, perform, commits_itself=False)
            return HttpResponseRedirect(list_url("billing.bulkdecision"))
        count = bulk_decisions.count_of(selection)
        words = f"{count:,} letters of the queue {queue} are {state} now; a worker decides about all of them."
        act = Act(act_name, BULK_WORDS[act_name], words, "billing.bulk_deadletter", lambda _row, _ask: "")
        back = Link(f"{queue}, {state}", back_url)
        page: TemplateResponse = confirmation(request, self, act=act, back=back, form=form)
        return page


@admin.register(BulkDecision)
class BulkDecisionAdmin(ReadOnlyAdmin):
    """Decisions about many letters, and how far a worker has come with each."""

    keyset = ("id",)
    found_by_prefix = ("id",)
    search_help_text = "Decision id or its beginning."
    list_display = ("identifier", "act", "queue", "letter_state", "decided", "state_label", "asked_by", "asked")
    fields = ("identifier", "act", "queue", "letter_state", "decided", "state_label", "asked_by", "reason", "asked")

    identifier = shown_as(lambda row: identifier_of(row.id), "decision")
    state_label = shown_as(lambda row: state_of("done" if row.finished_at else "pending"), "state")
    asked = shown_as(lambda row: moment_of(row.asked_at), "asked")


def decisions_about(subject: str) -> Section:
    """What people did to something, from the audit log."""
    events = apps.get_model("accounts", "AuditEvent").objects.filter(subject=subject).order_by("-id")[:EVENTS_SHOWN_MAX]
    return Section(
        "What people did",
        (Column("When"), Column("Who"), Column("What"), Column("Why")),
        [(moment_of(one.at), one.actor, one.action, one.reason or NOTHING) for one in events],
        when_empty="Nobody did anything about it yet.",
    )
