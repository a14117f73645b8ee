"""What is kept for how long, in one table: for the page, for the command that runs every sweep, and for its test.

What the ledger booked, payments and the audit log are kept for good and archived (ADR 0040). Everything else has a
sweep that a worker runs; `manage.py retention --apply` runs them all until nothing is left to forget.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

from accounts.services import api_keys, nonces, sessions
from billing.services import outbox
from billing.services.steps import while_full
from waitlist.services import retention as waitlist_retention
from x402.services import retention as x402_retention

APPLY_SECONDS = 3_600.0  # of one kind of row in one run of the command
ACCOUNTS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A table, what is kept of it, and the sweep that forgets the rest; without one it is kept for good."""

    table: str
    rule: str
    sweep: Callable[[], int] | None = None
    full: int = 0


KEPT = (
    Kept("billing.journal", "for good; closed months are archived"),
    Kept("billing.posting", "for good; closed months are archived"),
    Kept("billing.idempotency_key", "for good: a key that comes again in a year is the same journal"),
    Kept("billing.billing_entry", "for good"),
    Kept("billing.credit_note", "for good"),
    Kept("billing.credit_note_movement", "for good"),
    Kept("x402_payment", "for good"),
    Kept("x402_consumedlog", "for good: a log pays once"),
    Kept("accounts_auditevent", "for good"),
    Kept(
        "x402_storedanswer",
        "the body for 24 hours, and while its authorization could be sent again; the rest for good",
        x402_retention.forget_answers,
        x402_retention.FORGOTTEN_AT_ONCE,
    ),
    Kept("x402_keptquote", "30 days after it expired", x402_retention.forget_quotes, x402_retention.FORGOTTEN_AT_ONCE),
    Kept("billing_outboxevent", "30 days, and until it was delivered", outbox.forget_old, outbox.FORGOTTEN_MAX),
    Kept("accounts_usednonce", "until it expires", nonces.sweep, ACCOUNTS_AT_ONCE),
    Kept("accounts_session", "until nothing can revive it", sessions.sweep, ACCOUNTS_AT_ONCE),
    Kept("accounts_apikeyuse", "as long as a daily cap asks for it", api_keys.sweep, ACCOUNTS_AT_ONCE),
    Kept(
        "waitlist_entry",
        "unconfirmed or left: 30 days; mails 30 days; requests 7 days",
        lambda: max(waitlist_retention.forget_the_old().values()),
        waitlist_retention.FORGOTTEN_AT_ONCE,
    ),
)
_SIZES = (
    "SELECT name, coalesce(pg_total_relation_size(to_regclass(name)), 0)::bigint,"
    " greatest(coalesce((SELECT reltuples FROM pg_class WHERE oid = to_regclass(name)), 0), 0)::bigint"
    " FROM unnest(%s::text[]) AS name"
)


def sizes() -> dict[str, tuple[int, int]]:
    """Bytes with indexes and rows, as the planner last counted them, by table. Reads no table."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZES, [[kept.table for kept in KEPT]])
        return {name: (size, rows) for name, size, rows in cursor.fetchall()}


def forget_everything_due() -> dict[str, int]:
    """Run every sweep until it finds less than it may take; how many rows each forgot, by table."""
    return {
        kept.table: while_full(kept.sweep, full=kept.full, seconds=APPLY_SECONDS)
        for kept in KEPT
        if kept.sweep is not None
    }
