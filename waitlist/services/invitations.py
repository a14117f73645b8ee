"""Inviting the next people on the list: a batch is a row, filled by the worker in small steps.

A second press of the button, a reload or a way back in the browser brings the same form id and finds the same batch.
"""

from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from telemetry import names
from telemetry.logging import get_logger
from waitlist.models import Entry, InviteBatch, Mail
from waitlist.models.entry import EntryState
from waitlist.services.requests import wake_worker

INVITED_IN_ONE_STEP: Final = 200
STEPS_IN_ONE_RUN: Final = 50
BATCH_MAX: Final = 100_000

log = get_logger(__name__)


def start_batch(batch_id: str, *, wanted: int, staff: str, reason: str) -> tuple[InviteBatch, bool]:
    """The batch of this form, and whether it is new. The worker invites; nothing is sent here."""
    with transaction.atomic():
        batch, is_new = InviteBatch.objects.get_or_create(
            pk=batch_id, defaults={"wanted": wanted, "created_by": staff, "reason": reason}
        )
        if is_new:
            audit.record(staff, action="waitlist.invited", subject=batch_id, reason=reason, facts={"wanted": wanted})
            transaction.on_commit(wake_worker)
    return batch, is_new


def fill_batches() -> int:
    """Invite the next people for unfinished batches; says how many. Two workers never fill the same one.

    A huge batch takes several runs of the worker, so that none outlives its time limit.
    """
    invited = 0
    for _ in range(STEPS_IN_ONE_RUN):
        step = _step()
        if step is None:
            return invited
        invited += step
    wake_worker()
    return invited


def _step() -> int | None:
    """One step of the oldest unfinished batch: locks the batch, then the entries it takes. None: nothing to do."""
    now = timezone.now()
    with transaction.atomic():
        batch = (
            InviteBatch.objects.select_for_update(skip_locked=True)
            .filter(finished_at=None)
            .order_by("created_at")
            .first()
        )
        if batch is None:
            return None
        wanted = min(batch.wanted - batch.invited, INVITED_IN_ONE_STEP)
        next_in_line = Entry.objects.select_for_update(skip_locked=True).filter(state=EntryState.WAITING)
        entries = list(next_in_line.order_by("rank_at", "id")[:wanted])
        for entry in entries:
            entry.state, entry.invited_at, entry.batch, entry.last_mail_at = EntryState.INVITED, now, batch, now
        Entry.objects.bulk_update(entries, ["state", "invited_at", "batch", "last_mail_at"])
        written_to = [entry for entry in entries if entry.email]
        Mail.objects.bulk_create([Mail(entry=one, kind=Mail.Kind.INVITE, due_at=now) for one in written_to])
        batch.invited += len(entries)
        if len(entries) < wanted or batch.invited == batch.wanted:
            batch.finished_at = now
        batch.save()
    log.info(names.WAITLIST_INVITED, batch_id=batch.pk, count=len(entries))
    return len(entries)
