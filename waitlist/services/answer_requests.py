"""Answering what was typed into the form: find or make the entry, and queue the mail that its owner should get.

Every answer is a mail to the address itself, so only the mailbox's owner learns whether it was known. Within the
cool-down no second mail goes out, however often somebody presses the button for somebody else's address.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from waitlist.models import Entry, JoinRequest, Mail
from waitlist.models.entry import EntryState
from waitlist.services.mails import queue_mail

COOL_DOWN: Final = timedelta(minutes=10)
ANSWERED_AT_ONCE: Final = 500

_MAIL_FOR: Final = {
    EntryState.PENDING: Mail.Kind.CONFIRM,
    EntryState.LEFT: Mail.Kind.CONFIRM,
    EntryState.WAITING: Mail.Kind.ALREADY,
    EntryState.INVITED: Mail.Kind.INVITE,
    EntryState.ACCEPTED: Mail.Kind.ALREADY,
}


def answer_requests(limit: int = ANSWERED_AT_ONCE) -> int:
    """Answer waiting requests, oldest first; says how many. Two workers never take the same one."""
    answered = 0
    while answered < limit and _answer_next(timezone.now()):
        answered += 1
    return answered


def _answer_next(now: datetime) -> bool:
    with transaction.atomic():
        request = JoinRequest.objects.select_for_update(skip_locked=True).order_by("id").first()
        if request is None:
            return False
        entry = _entry_for(request, now)
        if entry is not None and not _is_cooling_down(entry, now):
            if entry.state == EntryState.LEFT:
                _begin_again(entry, request, now)
            queue_mail(entry, _MAIL_FOR[EntryState(entry.state)], now=now)
        request.delete()
    return True


def _entry_for(request: JoinRequest, now: datetime) -> Entry | None:
    """The entry a request concerns; a request to join makes it. None when there is nobody to write to."""
    known = Entry.objects.select_for_update().filter(email_key=request.email_key).first()
    if request.wish == JoinRequest.Wish.AGAIN:
        return None if known is not None and known.state == EntryState.LEFT else known
    if known is not None:
        return known
    referrer = Entry.objects.filter(referral_code=request.referral_code).first() if request.referral_code else None
    entry, _ = Entry.objects.get_or_create(  # another worker may make it at this very moment
        email_key=request.email_key,
        defaults={
            "email": request.email,
            "language": request.language,
            "consent_version": request.consent_version,
            "consented_at": request.created_at,
            "referred_by": referrer,
        },
    )
    return entry


def _begin_again(entry: Entry, request: JoinRequest, now: datetime) -> None:
    """Somebody who left asks again: as if for the first time, at the end of the list once confirmed."""
    entry.state = EntryState.PENDING
    entry.email, entry.language = request.email, request.language
    entry.consent_version, entry.consented_at = request.consent_version, request.created_at
    entry.left_at = entry.confirmed_at = entry.rank_at = None
    entry.save()


def _is_cooling_down(entry: Entry, now: datetime) -> bool:
    return entry.last_mail_at is not None and now - entry.last_mail_at < COOL_DOWN
