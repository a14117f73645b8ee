"""The pages anybody meets first, in a real Chromium under the enforced policy."""

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from loa_site.error_pages import USUAL_CODES
from tests.admin.books import write_book
from tests.browser.chromium import DARK, LIGHT, PHONE, VIEWS, Chromium, Findings, View, inspect, listening
from tests.browser.pages import DOCUMENTS, PUBLIC, account_pages, personal_pages, session_of

PAGE_BYTES_MAX = 100_000  # everything a first visit loads


def some(*views: View) -> tuple[View, ...]:
    """The views of a usual run; `LOA_EVERY_VIEW=true` looks with all of them."""
    return VIEWS if settings.EVERY_VIEW else views


def look_at(
    browser: Chromium, origin: str, pages: dict[str, tuple[str, int]], *, view: View, cookie: str = ""
) -> Findings:
    """What is wrong with the pages as this view sees them; each is photographed."""
    findings = Findings()

    def visit(context: BrowserContext) -> None:
        if cookie:
            context.add_cookies([{"name": "loa_account", "value": cookie, "url": f"{origin}/account/"}])
        with listening(context, findings) as page:
            for name, (address, status) in pages.items():
                answer = page.goto(origin + address)
                if answer.status != status or "unsafe" in answer.headers["content-security-policy"]:
                    findings.add(name, f"status {answer.status}")
                inspect(page, name=name, view=view, findings=findings)

    browser.run(visit, view=view)
    return findings


@pytest.mark.parametrize("view", some(LIGHT, PHONE), ids=lambda view: view.name)
def test_every_public_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = look_at(browser, live_server.url, PUBLIC, view=view)

    assert not findings.lines, str(findings)


@pytest.mark.parametrize("view", some(DARK, PHONE), ids=lambda view: view.name)
def test_every_document_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    pages = DOCUMENTS if settings.EVERY_VIEW else {name: DOCUMENTS[name] for name in ("guide", "guide-tutorial")}

    findings = look_at(browser, live_server.url, pages, view=view)

    assert not findings.lines, str(findings)


@pytest.mark.parametrize("view", some(PHONE), ids=lambda view: view.name)
def test_every_personal_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = look_at(browser, live_server.url, personal_pages(), view=view)

    assert not findings.lines, str(findings)


@pytest.mark.parametrize("view", some(LIGHT, PHONE), ids=lambda view: view.name)
def test_every_page_of_a_payer_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    book = write_book(cost=900)
    cookie = session_of(book.payment.payer).refresh_token

    findings = look_at(browser, live_server.url, account_pages(book), view=view, cookie=cookie)

    assert not findings.lines, str(findings)


def errors() -> dict[str, tuple[str, int]]:
    """Pages that refuse, by status."""
    return {
        f"error-{status}": (f"/refuse/{status}", status)
        for status in (USUAL_CODES if settings.EVERY_VIEW else (401, 429, 503))
    }


@pytest.mark.urls("tests.browser.refusing_urls")
@pytest.mark.parametrize("view", some(DARK), ids=lambda view: view.name)
def test_every_error_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = look_at(browser, live_server.url, errors(), view=view)

    assert not findings.lines, str(findings)


def test_the_landing_page_is_light_needs_no_script_and_asks_no_other_host(browser: Chromium, live_server: LiveServer):
    loaded: list[tuple[str, int]] = []

    def visit(context: BrowserContext) -> str:
        page = context.new_page()
        page.on("response", lambda answer: loaded.append((answer.url, len(answer.body()))))
        page.goto(f"{live_server.url}/", wait_until="networkidle")
        return page.inner_text("h1")

    heading = browser.run(visit, view=PHONE)

    assert heading == "Charge for any HTTP endpoint, to the millionth of a dollar."
    assert sum(size for _, size in loaded) <= PAGE_BYTES_MAX
    assert all(address.startswith(live_server.url) for address, _ in loaded)
    assert not [address for address, _ in loaded if address.endswith(".js")]


def test_the_api_reference_runs_under_the_policy(browser: Chromium, live_server: LiveServer):
    findings = Findings()

    def visit(context: BrowserContext) -> list[str]:
        with listening(context, findings) as page:
            page.goto(f"{live_server.url}/docs/try/")
            page.wait_for_selector(".opblock", timeout=15_000)
            return page.evaluate("violations")

    assert browser.run(visit) == []
    assert not findings.lines, str(findings)


@pytest.mark.parametrize("status", ["400", "403", "404", "500"])
def test_an_error_page_needs_nothing_from_the_request_that_failed(status: str):
    page = render_to_string(f"{status}.html")

    assert f'<span class="status">{status}</span>' in page
    assert '<a class="button first" href="/">' in page
