"""What staff do, done once and written down: the confirmation's token, the act, and the audit log.

A confirmation page carries a token that this module takes exactly once, so that a double click, a resent form or the
back button does nothing twice. Who did what to what and why goes to the recorder that the settings name
(`STAFF_AUDIT`), in the same transaction where the act can be part of one. Acts that append journals cannot: the token
and the intent are committed first, and the outcome is written down after it.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from billing.domain.errors import BillingError, Refused

TOKEN_BYTES: Final = 24
REASON_LENGTH_MAX: Final = 500


class AlreadyDone(Refused):
    """Raised when a confirmation was sent a second time; nothing is done then."""

    code = "already_done"


class Recorder(Protocol):
    """Whoever keeps the audit log."""

    def __call__(
        self, actor: str, *, action: str, subject: str, reason: str, facts: Mapping[str, object]
    ) -> object: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One confirmed wish of a member of staff."""

    token: str
    actor: str
    act: str
    subject: str
    reason: str

    def __post_init__(self) -> None:
        if not self.actor or not self.reason.strip() or not self.token:
            raise Refused(act=self.act, detail="an act names who does it and why")


def new_token() -> str:
    """A token for one confirmation page."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def do_once(ask: Ask, perform: Callable[[], str]) -> str:
    """Do something in one transaction with its token and its audit event; what `perform` says about it.

    Raises AlreadyDone for a token that was used, and whatever `perform` raises: then nothing of it was done.
    """
    with transaction.atomic():
        _take(ask)
        outcome = perform()
        _record(ask, facts={"outcome": outcome})
    return outcome


def do_once_outside(ask: Ask, perform: Callable[[], str]) -> str:
    """The same for acts that commit by themselves (journals, circuits): intent first, outcome after.

    Raises AlreadyDone, and the BillingError of an act that was refused, which is written down too.
    """
    with transaction.atomic():
        _take(ask)
        _record(ask, facts={"outcome": "asked"})
    try:
        outcome = perform()
    except BillingError as refusal:
        _record(ask, facts={"outcome": "refused", "code": refusal.code})
        raise
    _record(ask, facts={"outcome": outcome})
    return outcome


def _take(ask: Ask) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_staffact (token, actor, act, subject, done_at)"
            " VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT (token) DO NOTHING",
            [ask.token[:64], ask.actor, ask.act, ask.subject[:120]],
        )
        if cursor.rowcount == 0:
            raise AlreadyDone(act=ask.act, subject=ask.subject, detail="this confirmation was sent before")


def _record(ask: Ask, *, facts: Mapping[str, object]) -> None:
    recorder = cast(Recorder, import_string(settings.STAFF_AUDIT))
    recorder(ask.actor, action=ask.act, subject=ask.subject[:120], reason=ask.reason[:REASON_LENGTH_MAX], facts=facts)
