"""Every page that somebody without a staff account can meet, by a name for its photograph, and how to reach it."""

from datetime import timedelta
from typing import TypeVar

import time_machine
from django.conf import settings
from django.utils import timezone

from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.sessions import TokenPair, _begin
from loa_site.guide.pages import pages
from tests.admin.books import Book, kept_quote, verified_payment
from tests.browser.chromium import VIEWS, View
from waitlist.models import Entry
from waitlist.models.entry import EntryState
from waitlist.pages.form_seal import new_seal
from waitlist.services.links import Purpose, token_for
from x402.models import Payment

Page = TypeVar("Page")

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
    "docs-try": ("/docs/try/", 200),
    "guide": ("/docs/guide/", 200),
    "guide-tutorial": ("/docs/guide/tutorial/charge-for-a-view", 200),
    "guide-settings": ("/docs/guide/reference/settings", 200),
    "guide-commands": ("/docs/guide/reference/commands", 200),
    "guide-problems": ("/docs/guide/reference/problems", 200),
    "guide-threats": ("/docs/guide/THREAT_MODEL", 200),
    "guide-decision": ("/docs/guide/adr/0019-documents-are-pages-of-the-site", 200),
    "guide-plan": ("/docs/guide/SPRINT_PLAN", 200),
}


def share_of(view: View, everything: list[Page]) -> list[Page]:
    """What a usual run looks at with this view: each page with one view, in turn.

    With `LOA_EVERY_VIEW=true` each view looks at everything, which takes minutes.
    """
    return everything if settings.EVERY_VIEW else everything[VIEWS.index(view) :: len(VIEWS)]


def other_documents() -> dict[str, tuple[str, int]]:
    """The documents that are not named above; they differ in their words alone."""
    named = {address for address, _ in DOCUMENTS.values()}
    every = {f"guide-{slug.replace('/', '-')}": (f"/docs/guide/{slug}", 200) for slug in pages()}
    return {name: page for name, page in every.items() if page[0] not in named}


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
        "account-unsettled": (f"/account/payments/{unsettled_payment(book).pk}", 200),
        "account-nowhere": ("/account/payments/pay_nothing", 404),
    }


def unsettled_payment(book: Book) -> Payment:
    """A payment of the same payer that was signed and is not on the chain yet."""
    return verified_payment(book.account, book.account.wallets.get(), quote=kept_quote(book.payment.payer), amount=500)


def session_of(wallet: str) -> TokenPair:
    """A signed-in session of a wallet, as a sign-in would begin it."""
    return _begin(wallet, account_id_of_wallet(wallet), family=None)
