"""Guessing a member of staff's password or code is slow: failures are counted in the audit log, which nobody can empty.

Five failures within a quarter of an hour from one address lock a name for that address, fifty from anywhere lock it for
everybody. While it is locked nothing is checked and nothing more is written down, so that guessing cannot fill the log
either. A success does not reset the count: an attacker may own an account of their own.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services import audit
from telemetry import names
from telemetry.logging import get_logger

log = get_logger(__name__)

REFUSED: Final = "staff.sign_in_refused"
WINDOW: Final = timedelta(minutes=15)
FAILURES_FROM_ONE_ADDRESS: Final = 5
FAILURES_FROM_ANYWHERE: Final = 50
NAME_LENGTH_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries to sign in, from where."""

    username: str
    address: str

    @property
    def subject(self) -> str:
        """Names are compared as they are typed, without their case."""
        return f"sign-in:{self.username.strip().casefold()[:NAME_LENGTH_MAX]}"


def locked_for(attempt: Attempt) -> timedelta | None:
    """For how much longer this attempt is refused unseen; None when it may be checked."""
    now = timezone.now()
    recent = AuditEvent.objects.filter(subject=attempt.subject, action=REFUSED, at__gt=now - WINDOW).order_by("-id")
    failures = list(recent.values_list("at", "facts__address")[:FAILURES_FROM_ANYWHERE])
    from_here = [at for at, address in failures if address == attempt.address]
    if len(from_here) >= FAILURES_FROM_ONE_ADDRESS:
        return from_here[FAILURES_FROM_ONE_ADDRESS - 1] + WINDOW - now
    if len(failures) >= FAILURES_FROM_ANYWHERE:
        return failures[-1][0] + WINDOW - now
    return None


def record_failure(attempt: Attempt, *, step: str) -> None:
    """Count a wrong password or a wrong code (`step`)."""
    audit.record(
        attempt.username[:NAME_LENGTH_MAX] or "(no name)",
        action=REFUSED,
        subject=attempt.subject,
        facts={"address": attempt.address, "step": step},
    )
    log.warning(names.SIGN_IN_REFUSED, reason=f"staff_{step}")
