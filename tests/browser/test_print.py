"""Receipts and statements on paper: one sheet, without the frame of the page."""

import re

import pytest
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from tests.admin.books import write_book
from tests.browser.chromium import DARK, Chromium, photograph
from tests.browser.pages import account_pages, session_of

SHEET = re.compile(rb"/Type\s*/Page\b(?!s)")
OF_THE_SCREEN = (".masthead ul", ".foot", ".visitor")


@pytest.mark.parametrize("name", ["account-receipt", "account-statement"])
def test_what_is_printed_is_one_sheet_of_dark_text_on_white(browser: Chromium, live_server: LiveServer, name: str):
    book = write_book(cost=900)
    cookie = session_of(book.payment.payer).refresh_token
    address, _ = account_pages(book)[name]

    def visit(context: BrowserContext) -> tuple[int, list[str], str]:
        context.add_cookies([{"name": "loa_account", "value": cookie, "url": f"{live_server.url}/account/"}])
        page = context.new_page()
        page.goto(live_server.url + address)
        sheets = len(SHEET.findall(page.pdf(format="A4", margin={"top": "15mm", "bottom": "15mm"})))
        page.emulate_media(media="print")
        photograph(page, name=f"{name}-print", view=DARK)
        seen = [part for part in OF_THE_SCREEN if page.locator(part).count() and page.locator(part).first.is_visible()]
        return sheets, seen, page.evaluate("getComputedStyle(document.body).backgroundColor")

    sheets, seen, ground = browser.run(visit, view=DARK)

    assert (sheets, seen) == (1, [])
    assert ground == "rgb(255, 255, 255)"
