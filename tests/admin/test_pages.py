"""The staff pages open, show what they should, and ask the database for nothing it could not afford."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Account as LedgerAccount
from billing.models import CreditNote, Journal
from tests.admin.addresses import address, pages_of, read_only_models, rows_of
from tests.admin.books import Book, write_book
from x402.models import Payment

QUERIES_MAX = 16  # of any page: rights, session, the rows and what belongs to them


class InlineCode(HTMLParser):
    """What a page tells the browser to run or paint by itself; what it only quotes is text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]


def test_every_page_opens_under_the_policy_and_is_kept_out_of_caches(staff: Client, book: Book):
    for page in pages_of(book):
        answer = staff.get(page)

        assert answer.status_code == 200, page
        assert "unsafe" not in answer["Content-Security-Policy"], page
        assert InlineCode(answer.content.decode()).found == [], page
        assert "no-store" in answer["Cache-Control"] or "no-cache" in answer["Cache-Control"], page


def test_no_page_of_a_big_table_counts_its_rows(staff: Client, book: Book):
    pages = [address(model, "changelist") for model in read_only_models()]
    pages += [address(model, "change", key) for model, key in rows_of(book).items()]
    pages += [f"{address(Payment, 'changelist')}?q={book.payment.payer}&state=served"]

    for page in pages:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert staff.get(page).status_code == 200
        assert not [query["sql"] for query in captured if "COUNT(" in query["sql"].upper()], page
        assert len(captured) <= QUERIES_MAX, (page, len(captured))


def test_a_list_asks_as_often_for_many_rows_as_for_one(staff: Client, book: Book):
    def queries_of(page: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            staff.get(page)
        return len(captured)

    before = {model: queries_of(address(model, "changelist")) for model in read_only_models()}
    write_book()
    write_book()

    assert {model: queries_of(address(model, "changelist")) for model in read_only_models()} == before


def test_a_journals_page_shows_its_postings_their_sum_and_its_place_in_the_chain(staff: Client, book: Book):
    commit = Journal.objects.get(correlation_id=book.payment.correlation_id, kind="billing_commit")

    page = staff.get(address(Journal, "change", commit.pk)).content.decode()

    assert "−0.002000 USDC" in page
    assert "0.000700 USDC" in page
    assert "0.001300 USDC" in page
    assert re.search(r'loa-sum">.*0\.000000 USDC', page)
    assert bytes(commit.hash).hex() in page
    assert f"{commit.stream_id} / {commit.sequence:,}" in page


def test_a_payments_page_leads_to_its_note_its_transaction_and_its_journals(staff: Client, book: Book):
    page = staff.get(address(Payment, "change", book.payment.pk)).content.decode()
    note = CreditNote.objects.get(source=book.payment.id)

    assert book.transaction.transaction_hash in page
    assert address(type(book.transaction), "change", book.transaction.pk) in page
    assert address(CreditNote, "change", note.pk) in page
    assert f"{address(Journal, 'changelist')}?q={book.payment.correlation_id}" in page
    assert "4bf92f3577b34da6a3ce929d0e0e4736" in page


@pytest.mark.parametrize("found_by", ["id", "payer", "transaction_hash", "quote_id"])
def test_a_payment_is_found_by_everything_somebody_may_hold_in_hand(staff: Client, book: Book, found_by: str):
    other = write_book()

    page = staff.get(address(Payment, "changelist"), {"q": getattr(book.payment, found_by)}).content.decode()

    assert book.payment.id in page
    assert other.payment.id not in page


def test_the_first_page_says_that_the_books_balance_and_by_how_much(staff: Client, book: Book):
    page = staff.get("/admin/").content.decode()

    assert "The books balance." in page
    assert "Trial balance, eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e" in page
    assert "Payments today" in page
    assert "<svg" in page


def test_the_trial_balance_counts_credit_notes_of_all_wallets_together(staff: Client, superuser: User, book: Book):
    held = sum(note.remaining for note in CreditNote.objects.filter(remaining__gt=0))

    page = staff.get("/admin/").content.decode()

    assert f"{held // 1_000_000:,}.{held % 1_000_000:06d} USDC" in page


def test_an_accounts_page_shows_what_it_holds(staff: Client, book: Book):
    notes = LedgerAccount.objects.get(name=f"system:credit_notes:{book.payment.payer}")

    page = staff.get(address(LedgerAccount, "change", notes.pk)).content.decode()

    assert "0.001300 USDC" in page
    assert "(1,300)" in page
