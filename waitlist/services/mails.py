"""Mail as rows: queued in the transaction that causes it, delivered by the worker, tried again when the provider fails.

A mail may be sent twice when a worker dies between sending and noting it, and never gets lost. When the provider fails
three times in a row the worker stops for now: an outage is the provider's, not the mail's.
"""

from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Final

from anymail.exceptions import AnymailError
from django.db import transaction
from django.utils import timezone

from telemetry import names
from telemetry.logging import get_logger
from telemetry.metrics import counter
from waitlist.domain.retries import TRIES_MAX, pause_after
from waitlist.models import Entry, Mail
from waitlist.models.entry import EntryState
from waitlist.services.mail_texts import message_of

LEASE: Final = timedelta(minutes=5)  # longer than the mail backend's own time-out
FAILURES_IN_A_ROW_MAX: Final = 3
DELIVERED_AT_ONCE: Final = 500

log = get_logger(__name__)
_mails = counter(names.WAITLIST_MAILS, "Mails of the waitlist by outcome.", labels=("outcome",))


def queue_mail(entry: Entry, kind: str, *, now: datetime) -> Mail:
    """Queue one mail in the caller's transaction, and start the entry's cool-down."""
    entry.last_mail_at = now
    entry.save(update_fields=["last_mail_at"])
    return Mail.objects.create(entry=entry, kind=kind, due_at=now)


def deliver_mails(limit: int = DELIVERED_AT_ONCE) -> int:
    """Send what is due, oldest first; says how many the provider took."""
    delivered = failed_in_a_row = 0
    for _ in range(limit):
        if failed_in_a_row >= FAILURES_IN_A_ROW_MAX or (mail := _take_next(timezone.now())) is None:
            break
        if _deliver(mail):
            delivered, failed_in_a_row = delivered + 1, 0
        else:
            failed_in_a_row += 1
    return delivered


def _take_next(now: datetime) -> Mail | None:
    """The next mail that is due, leased to this worker. Locks its row for a moment, never while it is being sent."""
    with transaction.atomic():
        mail = (
            Mail.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("entry")
            .filter(state=Mail.State.QUEUED, due_at__lte=now)
            .order_by("due_at")
            .first()
        )
        if mail is not None:
            mail.tries += 1
            mail.due_at = now + LEASE
            mail.save(update_fields=["tries", "due_at"])
    return mail


def _deliver(mail: Mail) -> bool:
    """Send one mail and note what became of it; whether the provider is well."""
    if mail.entry.state == EntryState.LEFT or not mail.entry.email:
        _note(mail, Mail.State.DROPPED)
        return True
    try:
        message_of(mail).send()
    except (SMTPException, AnymailError, OSError) as error:
        mail.last_error = type(error).__name__
        is_last = mail.tries >= TRIES_MAX
        mail.due_at = timezone.now() + pause_after(mail.tries)
        _note(mail, Mail.State.GIVEN_UP if is_last else Mail.State.QUEUED)
        log.warning(names.WAITLIST_MAIL_FAILED, mail_id=mail.pk, error=mail.last_error, attempt=mail.tries)
        return False
    mail.sent_at = timezone.now()
    mail.last_error = ""
    _note(mail, Mail.State.SENT)
    return True


def _note(mail: Mail, state: Mail.State) -> None:
    mail.state = state
    mail.save(update_fields=["state", "due_at", "sent_at", "last_error"])
    _mails.labels(outcome="failed" if state == Mail.State.QUEUED else str(state)).inc()
