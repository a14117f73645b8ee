"""Taking a form: one row, whoever is on the list, and everything else after the answer.

The web request does the same work for a stranger as for somebody on the list: it inserts a row and wakes the worker.
Who is known is looked up by the worker only (`answer_requests`), so neither what the page says nor how long it takes
can tell. Whoever owns the mailbox learns the rest by mail.
"""

from django.db import transaction

from billing.services import wake_ups
from waitlist.domain.email_addresses import EmailAddress
from waitlist.models import JoinRequest

WORK = "waitlist.work"


def take_request(address: EmailAddress, *, wish: str, language: str, consent_version: str, referral_code: str) -> None:
    """Keep a wish until the worker answers it by mail. One insert, nothing is read."""
    with transaction.atomic():
        JoinRequest.objects.create(
            wish=wish,
            email=address.address,
            email_key=address.key,
            language=language,
            consent_version=consent_version,
            referral_code=referral_code,
        )
        transaction.on_commit(wake_worker)


def wake_worker() -> None:
    """Ask for the waitlist's worker; the sweep does it when the broker is away."""
    wake_ups.wake(WORK)
