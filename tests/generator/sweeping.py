"""Every sweep, and what customers and visitors ask for, as something that can be called, explained and timed."""

from collections.abc import Callable
from typing import Any

from django.db import connection

from accounts.services import api_keys, nonces, sessions
from billing.services import expire_credit_notes, outbox, reservations, webhooks
from loa_site import observations
from tests.generator.reading import Samples
from waitlist.models import Entry, Mail
from waitlist.selectors import places
from waitlist.services import retention as waitlist_retention
from x402.selectors import wallet_payments
from x402.services import exposure, gas, mixed_payments, owed_refunds, refund_finality, retention, sweeps

ASSET = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
SWEEPS: tuple[Callable[[], Any], ...] = (
    retention.forget_answers,
    retention.forget_quotes,
    outbox.forget_old,
    webhooks.address_events,
    waitlist_retention.forget_the_old,
    nonces.sweep,
    sessions.sweep,
    api_keys.sweep,
    exposure.release_ended,
    observations._settlement,
    gas.book_spent_gas,
    places.is_mail_slow,
)
DUE: dict[str, tuple[str, Any]] = {
    "notes that expired": (expire_credit_notes.EXPIRED, [100]),
    "holds that expired": (reservations.EXPIRED, [100]),
    "unknown settlements": (sweeps._UNKNOWN, [200]),
    "crashed work": (sweeps._CRASHED, [200]),
    "unserved payments": (sweeps._UNSERVED, [24, 200]),
    "open credits": (mixed_payments._OPEN, [200]),
    "owed refunds": (owed_refunds._OWED, {"dust": 1, "asset": ASSET, "wallet": "", "limit": 50}),
    "notes that may be final": (refund_finality._WAITING, {"wallet": "", "limit": refund_finality.LIMIT}),
    "notes about to expire": (outbox._EXPIRING, [outbox.EXPIRING_HOURS, 50]),
    "streams with news": (outbox._BEHIND, [outbox.JOURNALS_MAX]),
    "journals to tell of": (outbox._JOURNALS, [1, 10_000, 10_500, ["x402_settled"]]),
}


def name_of(sweep: Callable[[], Any]) -> str:
    """A sweep by its module and name."""
    return f"{sweep.__module__}.{sweep.__name__}"


def query(statement: str, parameters: Any) -> Callable[[], Any]:
    """A statement as something to call."""

    def run() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    return run


def let_all_gas_be_booked() -> None:
    """In the caller's transaction: booking gas appends to the ledger, and generated books are only read."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE x402_chaintransaction SET gas_booked = true WHERE NOT gas_booked")


def make_due() -> None:
    """Let a part of everything with an age be past it, as after a night without workers."""
    with connection.cursor() as cursor:
        for statement in (
            "UPDATE x402_storedanswer SET created_at = created_at - interval '3 days' WHERE body_encrypted IS NOT NULL",
            "UPDATE billing_outboxevent SET created_at = created_at - interval '40 days' WHERE id IN"
            " (SELECT id FROM billing_outboxevent ORDER BY created_at LIMIT 5000)",
            "UPDATE waitlist_entry SET left_at = left_at - interval '40 days' WHERE state = 'left'",
            "UPDATE waitlist_entry SET created_at = created_at - interval '40 days' WHERE state = 'pending'",
        ):
            cursor.execute(statement)


def customer_calls(given: Samples) -> dict[str, Callable[[], Any]]:
    """What payers and visitors ask for: lists of payments, a place in the line, and whether they are known."""
    waiting = Entry.objects.filter(state="waiting")
    last = waiting.order_by("-rank_at", "-id").first()
    middle = waiting.filter(rank_at__gte=given.moment).order_by("rank_at", "id").first()
    assert last is not None
    assert middle is not None
    wallet = given.payment.payer
    deep = wallet_payments.page_of_wallet(wallet, size=100).next_cursor
    return {
        "a wallet's payments": lambda: wallet_payments.page_of_wallet(wallet),
        "a wallet's payments, deep": lambda: wallet_payments.page_of_wallet(wallet, cursor=deep),
        "place in the middle of the waitlist": lambda: places.place_of(middle),
        "last place of the waitlist": lambda: places.place_of(last),
        "an address on the waitlist": lambda: Entry.objects.filter(email_key="person77@example.com").first(),
        "next hundred to invite": lambda: list(waiting.order_by("rank_at", "id")[:100]),
        "mail that is due": lambda: list(Mail.objects.filter(state="queued").order_by("due_at")[:100]),
    }
