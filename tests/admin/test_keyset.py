"""Pages that follow a key: every row once, in both directions, also while rows arrive."""

import re
import secrets

import pytest
from django.contrib.admin.utils import unquote
from django.test import Client

from billing.admin import read_only
from tests.admin.books import NETWORK, USDC, hexadecimal, kept_quote
from x402.models import KeptQuote, Payment

LIST = "/admin/x402/keptquote/"


def ids_on(page: str) -> list[str]:
    return [unquote(found) for found in re.findall(r'href="/admin/x402/keptquote/([^/]+)/change/', page)]


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    return found.group(1).replace("&amp;", "&") if found else None


@pytest.fixture
def quotes(transactional_db: None) -> list[str]:
    """More quotes than two pages hold, newest first. Their ids share a beginning, by which a list finds only them."""
    wallet, beginning = hexadecimal(20), f"quo_{secrets.token_hex(8)}"
    made = [kept_quote(wallet, f"{beginning}{n:04d}").pk for n in range(read_only.ROWS_PER_PAGE * 2 + 7)]
    return made[::-1]


def list_of(quotes: list[str]) -> str:
    return f"{LIST}?q={quotes[0][:-4]}"


def test_walking_to_older_pages_meets_every_row_once(staff: Client, quotes: list[str]):
    met, address = [], list_of(quotes)
    while address is not None and len(met) < len(quotes):
        page = staff.get(address).content.decode()
        met += ids_on(page)
        following = link(page, "next")
        address = None if following is None else LIST + following

    assert met[: len(quotes)] == quotes


def test_rows_that_arrive_meanwhile_move_nothing(staff: Client, quotes: list[str]):
    first = staff.get(list_of(quotes)).content.decode()
    kept_quote(hexadecimal(20), f"{quotes[0][:-4]}9999")

    second = staff.get(LIST + link(first, "next")).content.decode()

    assert ids_on(second) == quotes[read_only.ROWS_PER_PAGE : read_only.ROWS_PER_PAGE * 2]


def test_the_way_back_is_the_way_there(staff: Client, quotes: list[str]):
    first = staff.get(list_of(quotes)).content.decode()
    second = staff.get(LIST + link(first, "next")).content.decode()

    back = staff.get(LIST + link(second, "prev")).content.decode()

    assert ids_on(back) == ids_on(first)
    assert link(back, "prev") is None


def test_equal_times_of_arrival_are_told_apart_by_id(staff: Client, quotes: list[str]):
    quote = KeptQuote.objects.get(pk=quotes[0])
    made = [
        Payment(
            id=f"pay_same{quotes[0][-10:]}{number:03d}",
            network=NETWORK,
            verifying_contract=USDC,
            payer=quote.wallet,
            nonce=hexadecimal(32),
            asset=USDC,
            pay_to=quote.wallet,
            amount_micro_usdc=1,
            request_hash="0" * 64,
            request_method="GET",
            request_path="/",
            correlation_id=quote.id,
            account_id="acc_none",
            entry_id=f"ent_{quotes[0][-10:]}{number:03d}",
        )
        for number in range(read_only.ROWS_PER_PAGE + 5)
    ]
    Payment.objects.bulk_create(made)
    Payment.objects.filter(payer=quote.wallet).update(created_at=quote.created_at)

    first = staff.get("/admin/x402/payment/", {"q": quote.wallet}).content.decode()
    second = staff.get("/admin/x402/payment/" + link(first, "next")).content.decode()
    met = [unquote(found) for found in re.findall(r'href="/admin/x402/payment/([^/]+)/change/', first + second)]

    assert met == sorted((payment.id for payment in made), reverse=True)
