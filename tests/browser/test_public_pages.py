"""The pages anybody meets first, in a real Chromium under the enforced policy.

A usual run opens each page once, in one of the four views; `LOA_EVERY_VIEW=true` opens each in all, with photographs.
"""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from loa_site.error_pages import USUAL_CODES
from tests.admin.books import write_book
from tests.browser.chromium import PHONE, VIEWS, Chromium, Findings, View, glance, inspect, listening
from tests.browser.pages import (
    DOCUMENTS,
    PUBLIC,
    account_pages,
    other_documents,
    personal_pages,
    session_of,
    share_of,
)

PAGE_BYTES_MAX = 100_000  # everything a first visit loads


pytestmark = pytest.mark.timeout(1_200)  # every page in every view, on a slow machine
in_every_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)


def look_at(
    browser: Chromium,
    origin: str,
    pages: dict[str, tuple[str, int]],
    *,
    view: View,
    cookie: str = "",
    look: Callable[..., None] = inspect,
) -> Findings:
    """What is wrong with those of the pages that are this view's to look at."""
    findings = Findings()

    def visit(context: BrowserContext) -> None:
        if cookie:
            context.add_cookies([{"name": "loa_account", "value": cookie, "url": f"{origin}/account/"}])
        with listening(context, findings) as page:
            for name, (address, status) in share_of(view, list(pages.items())):
                answer = page.goto(origin + address)
                if answer.status != status or "unsafe" in answer.headers["content-security-policy"]:
                    findings.add(name, f"status {answer.status}")
                look(page, name=name, view=view, findings=findings)

    browser.run(visit, view=view)
    return findings


@in_every_view
def test_every_public_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = look_at(browser, live_server.url, PUBLIC, view=view)

    assert not findings.lines, str(findings)


@in_every_view
def test_each_kind_of_document_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = look_at(browser, live_server.url, DOCUMENTS, view=view)

    assert not findings.lines, str(findings)


@in_every_view
def test_every_other_document_is_clean_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    look = inspect if settings.EVERY_VIEW else glance

    findings = look_at(browser, live_server.url, other_documents(), view=view, look=look)

    assert not findings.lines, str(findings)


@in_every_view
def test_every_personal_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = look_at(browser, live_server.url, personal_pages(), view=view)

    assert not findings.lines, str(findings)


@in_every_view
def test_every_page_of_a_payer_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    book = write_book(cost=900)
    cookie = session_of(book.payment.payer).refresh_token

    findings = look_at(browser, live_server.url, account_pages(book), view=view, cookie=cookie)

    assert not findings.lines, str(findings)


@pytest.mark.urls("tests.browser.refusing_urls")
@in_every_view
def test_every_error_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    errors = {f"error-{status}": (f"/refuse/{status}", status) for status in (*USUAL_CODES, 500)}

    findings = look_at(browser, live_server.url, errors, view=view)

    assert not findings.lines, str(findings)


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/", "Charge for any HTTP endpoint, to the millionth of a dollar."),
        ("/waitlist/", "A short line, honestly kept."),
        ("/docs/guide/", "Documents"),
    ],
)
def test_a_first_page_is_light_needs_no_script_and_asks_no_other_host(
    browser: Chromium, live_server: LiveServer, path: str, heading: str
):
    loaded: list[tuple[str, int]] = []

    def visit(context: BrowserContext) -> str:
        page = context.new_page()
        page.on("response", lambda answer: loaded.append((answer.url, len(answer.body()))))
        page.goto(live_server.url + path, wait_until="networkidle")
        return page.inner_text("h1")

    said = browser.run(visit, view=PHONE)

    assert said == heading
    assert sum(size for _, size in loaded) <= PAGE_BYTES_MAX
    assert all(address.startswith(live_server.url) for address, _ in loaded)
    assert not [address for address, _ in loaded if address.endswith(".js")]


@pytest.mark.parametrize("status", ["400", "403", "404", "500"])
def test_an_error_page_needs_nothing_from_the_request_that_failed(status: str):
    page = render_to_string(f"{status}.html")

    assert f'<span class="status">{status}</span>' in page
    assert '<a class="button first" href="/">' in page
