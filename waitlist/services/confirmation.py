"""The second half of the double opt-in, and coming in by an invitation. Both happen once."""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from telemetry import names
from telemetry.logging import get_logger
from waitlist.domain.errors import LinkRefused
from waitlist.domain.places import rank_of
from waitlist.models import Entry, Mail
from waitlist.models.entry import EntryState
from waitlist.services import links
from waitlist.services.mails import queue_mail
from waitlist.services.requests import wake_worker

log = get_logger(__name__)


def confirm(token: str) -> Entry:
    """Put whoever owns the mailbox on the list, and thank the friend who sent them. Raises LinkRefused.

    Locks the entry, then the friend's. Of two clicks on the same link one succeeds.
    """
    now = timezone.now()
    with transaction.atomic():
        entry = links.entry_of(token, links.Purpose.CONFIRM, locks=True)
        if entry.state != EntryState.PENDING:
            raise LinkRefused
        entry.link_number += 1
        take_place(entry, now)
        queue_mail(entry, Mail.Kind.WELCOME, now=now)
        transaction.on_commit(wake_worker)
    log.info(names.WAITLIST_CONFIRMED, entry_id=entry.pk)
    return entry


def take_place(entry: Entry, now: datetime) -> None:
    """Give a proven entry its place, in the caller's transaction. Locks the row of the friend who sent them."""
    entry.state = EntryState.WAITING
    entry.confirmed_at = now
    entry.rank_at = rank_of(now, entry.friends_confirmed)
    entry.save()
    if entry.referred_by_id is None:
        return
    Entry.objects.filter(pk=entry.referred_by_id).update(friends_confirmed=F("friends_confirmed") + 1)
    friend = Entry.objects.select_for_update().filter(pk=entry.referred_by_id).first()
    if friend is not None and friend.confirmed_at is not None:
        friend.rank_at = rank_of(friend.confirmed_at, friend.friends_confirmed)
        friend.save(update_fields=["rank_at"])


def accept_invitation(token: str) -> Entry:
    """Let an invited person in. Raises LinkRefused; locks the entry."""
    with transaction.atomic():
        entry = links.entry_of(token, links.Purpose.INVITATION, locks=True)
        if entry.state != EntryState.INVITED:
            raise LinkRefused
        entry.link_number += 1
        entry.state = EntryState.ACCEPTED
        entry.accepted_at = timezone.now()
        entry.save()
    log.info(names.WAITLIST_ACCEPTED, entry_id=entry.pk)
    return entry
