"""What runs now, on one page: circuits, queues and their oldest, streams and their fence; and circuits by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from billing.admin.acts import ReasonForm, tell
from billing.admin.formats import NOTHING, identifier_of, state_of
from billing.admin.read_only import list_url
from billing.admin.sections import Column, Section
from billing.services import fence, finalize_stream, recovery, staff_acts
from billing.services.staff_acts import Ask
from outbound.breaker import State
from outbound.breaker_state import all_breakers
from outbound.redis_scripts import redis_client

FORCED_OPEN_SECONDS: Final = 3_600  # then the next caller is a probe: nobody has to remember to close it
BROKER_QUEUES: Final = ("settlement", "default")
PRIORITY_STEPS: Final = (0, 3, 6, 9)
_SEPARATOR: Final = "\x06\x16"  # between a queue and its priority, as Celery's Redis transport writes it
CIRCUIT_WORDS: Final = {
    "open": ("Open the circuit", "Nothing goes through it for an hour. Payments take the other way, or wait."),
    "close": ("Close the circuit", "Everything goes through it again, and its failures are forgotten."),
}

_LETTERS: Final = """
SELECT queue, count(*) FILTER (WHERE state = 'pending'),
  count(*) FILTER (WHERE state = 'pending' AND next_retry_at <= clock_timestamp()),
  count(*) FILTER (WHERE state = 'poisoned'),
  count(*) FILTER (WHERE state = 'pending' AND schema_version > 1), min(created_at)
FROM billing.dead_letter WHERE state IN ('pending', 'poisoned') GROUP BY queue ORDER BY queue
"""
_WEBHOOKS: Final = (
    "SELECT count(*), min(created_at) FROM billing_webhookdelivery WHERE state = 'pending' AND next_try_at IS NOT NULL"
)
_UNADDRESSED: Final = "SELECT count(*), min(created_at) FROM billing_outboxevent WHERE addressed_at IS NULL"
_STUCK: Final = """
SELECT state, count(*), min(created_at) FROM x402_payment
WHERE state IN ('verified', 'settling', 'settlement_unknown', 'settled', 'serving') GROUP BY state ORDER BY state
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """One queue. `oldest` is when its oldest item was written."""

    name: str
    count: int
    oldest: datetime | None
    detail: str = ""
    url: str = ""

    def age_seconds(self, now: datetime) -> int:
        return 0 if self.oldest is None else max(0, int((now - self.oldest).total_seconds()))


def operations_view(request: HttpRequest) -> HttpResponse:
    """The page, for those who may see operations."""
    if not request.user.has_perm("billing.see_operations"):
        raise PermissionDenied
    now = timezone.now()
    context = {
        **admin.site.each_context(request),
        "title": "Operations",
        "read_at": now,
        "recovery": recovery.open_recovery(),
        "sections": [
            circuits_section(request),
            backlog_section(backlogs(), now),
            broker_section(),
            payments_section(now),
            fence_section(),
        ],
    }
    return TemplateResponse(request, "admin/operations.html", context)


def circuit_view(request: HttpRequest, name: str, act: str) -> HttpResponse:
    """Open or close a circuit by hand, once and with a reason."""
    if name not in all_breakers() or act not in CIRCUIT_WORDS:
        raise Http404("There is no such circuit.")
    if not request.user.has_perm("billing.force_circuit"):
        raise PermissionDenied
    title, explanation = CIRCUIT_WORDS[act]
    back_url = reverse("admin:operations")
    form = ReasonForm(request.POST or None, initial={"token": staff_acts.new_token()})
    if request.method == "POST" and form.is_valid():
        ask = Ask(
            form.cleaned_data["token"],
            request.user.get_username(),
            f"circuit.{act}",
            name,
            form.cleaned_data["reason"],
        )
        tell(request, ask, lambda: force(name, act), commits_itself=True)
        return HttpResponseRedirect(back_url)
    context = {
        **admin.site.each_context(request),
        "title": f"{title}: {name}",
        "explanation": explanation,
        "confirm": title,
        "subject": name,
        "back_url": back_url,
        "form": form,
    }
    return TemplateResponse(request, "admin/act.html", context)


def force(name: str, act: str) -> str:
    """Change the circuit, and say how it is now."""
    circuit = all_breakers()[name]
    if act == "open":
        circuit.force_open(seconds=FORCED_OPEN_SECONDS)
        return f"The circuit {name} is open for an hour."
    circuit.force_close()
    return f"The circuit {name} is closed."


def backlogs() -> list[Backlog]:
    """What waits, by queue, from rows and their partial indexes."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(_LETTERS)
        for queue, pending, due, poisoned, parked, oldest in cursor.fetchall():
            detail = f"{pending:,} waiting, {due:,} due, {poisoned:,} poisoned, {parked:,} parked"
            url = list_url("billing.deadletter", queue=queue)
            found.append(Backlog(f"dead letters: {queue}", pending + poisoned, oldest, detail, url))
        cursor.execute(_WEBHOOKS)
        count, oldest = cursor.fetchone()
        waiting = list_url("billing.webhookdelivery", state="pending")
        found.append(Backlog("webhooks", count, oldest, url=waiting))
        cursor.execute(_UNADDRESSED)
        count, oldest = cursor.fetchone()
        found.append(Backlog("events not addressed yet", count, oldest, url=list_url("billing.outboxevent")))
    return found


def circuits_section(request: HttpRequest) -> Section:
    may_force = request.user.has_perm("billing.force_circuit")
    rows: list[Sequence[Any]] = []
    for name, circuit in all_breakers().items():
        state = circuit.state()
        act = "close" if state is not State.CLOSED else "open"
        url = reverse("admin:circuit", args=[name, act])
        link = identifier_of(CIRCUIT_WORDS[act][0], url=url) if may_force else NOTHING
        rows.append((name, state_of(state.value), link))
    return Section("Circuits", (Column("Circuit"), Column("State"), Column("By hand")), rows)


def backlog_section(found: Sequence[Backlog], now: datetime) -> Section:
    stream = finalize_stream.status()
    rows: list[Sequence[Any]] = [
        (
            identifier_of(one.name, url=one.url),
            f"{one.count:,}",
            f"{one.age_seconds(now):,} s" if one.oldest else NOTHING,
            one.detail or NOTHING,
        )
        for one in found
    ]
    if stream.is_reachable:
        detail = f"{stream.pending:,} held, {stream.unread:,} unread, {stream.consumers:,} consumers"
        rows.append((f"stream {finalize_stream.STREAM}", f"{stream.length:,}", NOTHING, detail))
        rows.append((f"stream {finalize_stream.POISON_STREAM}", f"{stream.poisoned:,}", NOTHING, NOTHING))
    return Section(
        "Queues",
        (Column("Queue"), Column("Waiting", is_figure=True), Column("Oldest", is_figure=True), Column("Of which")),
        rows,
    )


def broker_section() -> Section:
    """Messages that no worker took yet, by priority."""
    columns = (Column("Queue"), *(Column(f"Priority {step}", is_figure=True) for step in PRIORITY_STEPS))
    client = redis_client()
    rows: list[Sequence[Any]] = []
    if client is not None:
        try:
            for queue in BROKER_QUEUES:
                keys = [queue if step == 0 else f"{queue}{_SEPARATOR}{step}" for step in PRIORITY_STEPS]
                rows.append((queue, *(f"{client.llen(key):,}" for key in keys)))
        except RedisError:
            rows = []
    return Section("Messages to workers", columns, rows, when_empty="Redis does not answer.")


def payments_section(now: datetime) -> Section:
    """Payments between two ends; those that are unknown or stay for long want a look."""
    with connection.cursor() as cursor:
        cursor.execute(_STUCK)
        found = [Backlog(*row) for row in cursor.fetchall()]
    return Section(
        "Payments under way",
        (Column("State"), Column("Payments", is_figure=True), Column("Oldest", is_figure=True)),
        [
            (
                identifier_of(one.name, url=list_url("x402.payment", state=one.name)),
                f"{one.count:,}",
                f"{one.age_seconds(now):,} s",
            )
            for one in found
        ],
        when_empty="None: everything is settled and served.",
    )


def fence_section() -> Section:
    """Both gates of each stream: its row, and what Redis holds."""
    return Section(
        "Streams and their fence",
        (
            Column("Stream"),
            Column("Lane"),
            Column("Row's token", is_figure=True),
            Column("Redis: issued", is_figure=True),
            Column("Redis: accepted", is_figure=True),
            Column("Holder"),
        ),
        [
            (
                identifier_of(f"stream {one.stream}", url=reverse("admin:billing_stream_change", args=[one.stream])),
                one.lane,
                f"{one.last_token:,}",
                one.redis_issuer or NOTHING,
                one.redis_last_accepted or NOTHING,
                one.holder or NOTHING,
            )
            for one in fence.fence_status()
        ],
    )
