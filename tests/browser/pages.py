"""Every page that somebody without a staff account can meet, by a name for its photograph, and how to reach it."""

from datetime import timedelta

import time_machine
from django.utils import timezone

from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.sessions import TokenPair, _begin
from tests.admin.books import Book
from waitlist.models import Entry
from waitlist.models.entry import EntryState
from waitlist.pages.form_seal import new_seal
from waitlist.services.links import Purpose, token_for

PUBLIC = {
    "landing": ("/", 200),
    "problems": ("/problems/", 200),
    "problem": ("/problems/payment-already-used", 200),
    "login": ("/admin/login/", 200),
    "nowhere": ("/nowhere", 404),
    "waitlist": ("/waitlist/?friend=ABCDEF1234", 200),
    "waitlist-again": ("/waitlist/again", 200),
    "waitlist-sent": ("/waitlist/sent", 200),
    "waitlist-privacy": ("/waitlist/privacy", 200),
    "waitlist-wallet": ("/waitlist/wallet", 200),
    "waitlist-old-link": ("/waitlist/confirm/nonsense", 410),
    "sign-in": ("/account/", 200),
}
DOCUMENTS = {
    "docs": ("/docs/", 200),
    "guide": ("/docs/guide/", 200),
    "guide-tutorial": ("/docs/guide/tutorial/charge-for-a-view", 200),
    "guide-settings": ("/docs/guide/reference/settings", 200),
    "guide-commands": ("/docs/guide/reference/commands", 200),
    "guide-problems": ("/docs/guide/reference/problems", 200),
    "guide-threats": ("/docs/guide/THREAT_MODEL", 200),
    "guide-decision": ("/docs/guide/adr/0019-documents-are-pages-of-the-site", 200),
    "guide-plan": ("/docs/guide/SPRINT_PLAN", 200),
}


def old_seal() -> str:
    """The seal of a form that was opened a minute ago."""
    with time_machine.travel(timezone.now() - timedelta(minutes=1), tick=False):
        return new_seal()


def personal_pages() -> dict[str, tuple[str, int]]:
    """The pages behind the links of mails, for somebody in each state."""
    now = timezone.now()
    rows = {}
    for state in EntryState.values:
        address = f"{state}.{now.timestamp()}@example.com"
        rows[state] = Entry.objects.create(
            state=state, email=address, email_key=address, consent_version="1", consented_at=now, confirmed_at=now,
            rank_at=now, friends_confirmed=3,
        )  # fmt: skip
    pages = {f"place-{state}": (f"/waitlist/place/{token_for(row, Purpose.PLACE)}", 200) for state, row in rows.items()}
    return pages | {
        "waitlist-confirm": (f"/waitlist/confirm/{token_for(rows['pending'], Purpose.CONFIRM)}", 200),
        "waitlist-invitation": (f"/waitlist/invitation/{token_for(rows['invited'], Purpose.INVITATION)}", 200),
        "waitlist-leave": (f"/waitlist/leave/{token_for(rows['waiting'], Purpose.LEAVE)}", 200),
        "waitlist-erase": (f"/waitlist/place/{token_for(rows['waiting'], Purpose.PLACE)}/erase", 200),
    }


def account_pages(book: Book) -> dict[str, tuple[str, int]]:
    """The pages of the payer of a book."""
    month = f"{timezone.now():%Y-%m}"
    return {
        "account": ("/account/", 200),
        "account-payments": ("/account/payments", 200),
        "account-receipt": (f"/account/payments/{book.payment.pk}", 200),
        "account-statement": (f"/account/statements/{month}", 200),
        "account-nowhere": ("/account/payments/pay_nothing", 404),
    }


def session_of(wallet: str) -> TokenPair:
    """A signed-in session of a wallet, as a sign-in would begin it."""
    return _begin(wallet, account_id_of_wallet(wallet), family=None)
