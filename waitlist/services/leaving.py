"""Leaving the list, taking one's data along, and having it erased.

Leaving keeps the bare row until the retention job removes it, so that a mail already under way is not sent. Erasing
deletes the row and its mails at once; what stays is that *somebody* was erased and when, in the audit log, without an
address. Copies in database backups end with the backups (docs/waitlist.md says when).
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from telemetry import names
from telemetry.logging import get_logger
from waitlist.models import JoinRequest
from waitlist.models.entry import EntryState
from waitlist.services import links

log = get_logger(__name__)


def leave(token: str) -> None:
    """Take whoever the link names off the list. Leaving twice is leaving. Raises LinkRefused; locks the entry."""
    with transaction.atomic():
        entry = links.entry_of(token, links.Purpose.LEAVE, locks=True)
        if entry.state == EntryState.LEFT:
            return
        entry.state, entry.left_at, entry.rank_at = EntryState.LEFT, timezone.now(), None
        entry.link_number += 1
        entry.save()
    log.info(names.WAITLIST_LEFT, entry_id=entry.pk)


def erase(token: str) -> None:
    """Delete everything kept about whoever the link names. Raises LinkRefused; locks the entry."""
    with transaction.atomic():
        entry = links.entry_of(token, links.Purpose.PLACE, locks=True)
        entry_id = entry.pk
        if entry.email_key:
            JoinRequest.objects.filter(email_key=entry.email_key).delete()
        entry.delete()
        audit.record("the person concerned", action="waitlist.erased", subject=entry_id, reason="asked for erasure")
    log.info(names.WAITLIST_ERASED, entry_id=entry_id)


def export(token: str) -> dict[str, Any]:
    """Everything kept about whoever the link names. Raises LinkRefused."""
    entry = links.entry_of(token, links.Purpose.PLACE)
    own = ("id", "state", "email", "email_key", "wallet", "language", "consent_version", "referral_code")
    moments = (
        *("consented_at", "created_at", "confirmed_at", "invited_at", "accepted_at", "left_at"),
        *("last_mail_at", "rank_at"),
    )
    return {
        **{name: getattr(entry, name) for name in own},
        **{name: _moment(getattr(entry, name)) for name in moments},
        "friends_confirmed": entry.friends_confirmed,
        "was_sent_by_a_friend": entry.referred_by_id is not None,
        "mails": [
            {
                "kind": mail.kind,
                "state": mail.state,
                "created_at": _moment(mail.created_at),
                "sent_at": _moment(mail.sent_at),
            }
            for mail in entry.mails.order_by("id")
        ],
    }


def _moment(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
