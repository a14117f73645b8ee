"""What is forgotten, and when: whoever never confirmed or has left, after thirty days; the record of sent mail, too."""

from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from waitlist.models import Entry, JoinRequest, Mail
from waitlist.models.entry import EntryState

UNCONFIRMED_KEPT: Final = timedelta(days=30)
LEFT_KEPT: Final = timedelta(days=30)
MAILS_KEPT: Final = timedelta(days=30)
REQUESTS_KEPT: Final = timedelta(days=7)  # the worker answers in seconds; what is older will never be answered
FORGOTTEN_AT_ONCE: Final = 5_000


def forget_the_old() -> dict[str, int]:
    """Delete what is past its time, a bounded number of each kind; says how many."""
    now = timezone.now()
    unconfirmed = Entry.objects.filter(state=EntryState.PENDING, created_at__lt=now - UNCONFIRMED_KEPT)
    left = Entry.objects.filter(state=EntryState.LEFT, left_at__lt=now - LEFT_KEPT)
    mails = Mail.objects.exclude(state=Mail.State.QUEUED).filter(created_at__lt=now - MAILS_KEPT)
    requests = JoinRequest.objects.filter(created_at__lt=now - REQUESTS_KEPT)
    forgotten = {}
    for name, rows in (("unconfirmed", unconfirmed), ("left", left), ("mails", mails), ("requests", requests)):
        keys: list[Any] = list(rows.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        rows.model._default_manager.filter(pk__in=keys).delete()
        forgotten[name] = len(keys)
    return forgotten
