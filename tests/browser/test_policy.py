"""The policy at work: what is planted does not run, and reports arrive where staff see them (faults.md 71)."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.test import override_settings
from playwright.sync_api import BrowserContext, Page, Route
from pytest_django.live_server_helper import LiveServer

from loa_site.models import PolicyReport
from loa_site.security.policy import csp_settings
from tests.browser.chromium import Chromium
from tests.browser.pages import DOCUMENTS, PUBLIC
from tests.browser.tls_front import tls_front

PLANTED = "<script>window.ran = true</script>"
REPORT_SECONDS = 30
WALKED = (
    *("/", "/waitlist/", "/waitlist/wallet", "/account/"),
    *("/docs/", "/docs/guide/", "/docs/guide/GLOSSARY", "/problems/"),
)


def planting(route: Route) -> None:
    """Let the page pass with a script in it that its author did not write."""
    answer = route.fetch()
    body = answer.text().replace("</body>", PLANTED + '<b style="color: red">red</b></body>')
    route.fulfill(response=answer, body=body)


@pytest.fixture
def _old_reports() -> Iterator[None]:
    """The policy without `report-to`: Chromium sends reports of the new kind over HTTPS only, and then no old ones."""
    [(name, policy)] = csp_settings(enforce=True).items()
    directives = {directive: value for directive, value in policy["DIRECTIVES"].items() if directive != "report-to"}
    with override_settings(CONTENT_SECURITY_POLICY_REPORT_ONLY=None, **{name: {"DIRECTIVES": directives}}):
        yield


@pytest.mark.usefixtures("_old_reports")
@pytest.mark.parametrize("path", ["/", "/docs/", "/admin/login/", "/nowhere"])
def test_a_script_planted_in_a_page_is_blocked_and_reported(browser: Chromium, live_server: LiveServer, path: str):
    address = live_server.url + path
    PolicyReport.objects.filter(document_uri=address).delete()

    def visit(context: BrowserContext) -> tuple[bool, list[str]]:
        page = context.new_page()
        page.route(address, planting)
        page.goto(address)
        blocked = page.evaluate("window.ran === true"), page.evaluate("violations")
        wait_for_reports(page, address, count=2)
        return blocked

    ran, violations = browser.run(visit)

    assert ran is False
    assert {violation.split()[0] for violation in violations} == {"script-src-elem", "style-src-attr"}
    assert reported(address) == {("script-src-elem", "inline"), ("style-src-attr", "inline")}


@pytest.mark.urls("tests.browser.planting_urls")
def test_a_planted_script_is_reported_by_the_reporting_api_over_tls(
    browser: Chromium, live_server: LiveServer, tmp_path: Path
):
    def visit(context: BrowserContext, address: str) -> tuple[bool, list[str]]:
        page = context.new_page()
        page.goto(address)
        blocked = page.evaluate("window.ran === true"), page.evaluate("violations")
        wait_for_reports(page, address, count=1)
        return blocked

    with tls_front(live_server.url, tmp_path) as front:
        address = f"{front.url}/planted"
        trusting = Chromium(f"--ignore-certificate-errors-spki-list={front.key_hash}")
        try:
            ran, violations = trusting.run(lambda context: visit(context, address))
        finally:
            trusting.stop()

    assert ran is False
    assert [violation.split()[0] for violation in violations] == ["script-src-elem"]
    assert reported(address) == {("script-src-elem", "inline")}
    heads = front.asked(b"POST /api/v1/csp-report ")
    assert heads
    assert all(b"content-type: application/reports+json" in head for head in heads)


def wait_for_reports(page: Page, address: str, *, count: int) -> None:
    """Stay on the page until the site has kept so many kinds of reports about it, or a slow machine would have."""
    deadline = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < deadline and len(reported(address)) < count:
        page.wait_for_timeout(200)


def reported(address: str) -> set[tuple[str, str]]:
    """What staff see of a page."""
    found: list[set[tuple[str, str]]] = []

    def ask() -> None:
        rows = PolicyReport.objects.filter(document_uri=address)
        found.append({(row.violated_directive, row.blocked_uri) for row in rows})
        connections.close_all()

    asking = threading.Thread(target=ask)  # the browser's own thread may not use the database
    asking.start()
    asking.join()
    return found[0]


def test_text_cannot_become_markup_in_a_page_of_ours(browser: Chromium, live_server: LiveServer):
    def visit(context: BrowserContext) -> dict[str, str]:
        page = context.new_page()
        outcomes = {}
        for path in ("/", "/waitlist/wallet", "/account/", "/docs/", "/docs/guide/"):
            page.goto(live_server.url + path)
            outcomes[path] = page.evaluate(
                "(() => { try { document.body.innerHTML = '<b>x'; return 'written' } catch (e) { return e.name } })()"
            )
        return outcomes

    assert set(browser.run(visit).values()) == {"TypeError"}


def without_scripts(work: Callable[[BrowserContext], list[str]]) -> Callable[[BrowserContext], list[str]]:
    """The same work in a browser whose scripts are off."""

    def visit(context: BrowserContext) -> list[str]:
        assert context.browser is not None
        plain = context.browser.new_context(java_script_enabled=False)
        try:
            return work(plain)
        finally:
            plain.close()

    return visit


def test_every_public_page_and_document_is_there_without_javascript(browser: Chromium, live_server: LiveServer):
    def visit(context: BrowserContext) -> list[str]:
        page = context.new_page()
        empty = []
        for name, (address, _) in (PUBLIC | DOCUMENTS).items():
            page.goto(live_server.url + address)
            if not page.locator("h1").first.is_visible() and name != "login":
                empty.append(name)
        return empty

    assert browser.run(without_scripts(visit)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/waitlist/",
        "/waitlist/wallet",
        "/account/",
        "/docs/",
        "/docs/guide/",
        "/docs/guide/GLOSSARY",
        "/problems/",
    ],
)
def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Chromium, live_server: LiveServer, path: str):
    def visit(context: BrowserContext) -> tuple[str, int, int, list[str]]:
        page = context.new_page()
        page.goto(live_server.url + path)
        page.keyboard.press("Tab")
        first = page.evaluate("document.activeElement.className")
        wanted = page.evaluate(
            "[...document.querySelectorAll('a[href],button,input,textarea,summary,[tabindex=\"0\"]')].filter("
            "e => e.type !== 'hidden' && e.tabIndex >= 0 && !e.hidden && e.checkVisibility()).length"
        )
        seen, unseen = 1, []
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            shown = page.evaluate(
                "(() => { const e = document.activeElement; if (e === document.body) return null;"
                "const s = getComputedStyle(e); return [e.outerHTML.slice(0, 80),"
                "s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2] })()"
            )
            if shown is None:
                break
            seen += 1
            if not shown[1]:
                unseen.append(shown[0])
        return first, seen, wanted, unseen

    first, seen, wanted, unseen = browser.run(visit)

    assert first == "skip"
    assert seen == wanted
    assert unseen == []
