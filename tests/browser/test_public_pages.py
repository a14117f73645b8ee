"""The pages anybody meets first, in a real Chromium under the enforced policy."""

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import PHONE, VIEWS, Chromium, Findings, View, inspect, listening

PAGES = {
    "landing": ("/", 200),
    "problems": ("/problems/", 200),
    "problem": ("/problems/payment-already-used", 200),
    "login": ("/admin/login/", 200),
    "nowhere": ("/nowhere", 404),
}
PAGE_BYTES_MAX = 100_000  # everything a first visit loads


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_public_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View):
    findings = Findings()

    def visit(context: BrowserContext) -> None:
        with listening(context, findings) as page:
            for name, (address, status) in PAGES.items():
                if page.goto(live_server.url + address).status != status:
                    findings.add(name, "another status")
                inspect(page, name=name, view=view, findings=findings)

    browser.run(visit, view=view)

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
            page.goto(f"{live_server.url}/docs/")
            page.wait_for_selector(".opblock", timeout=15_000)
            return page.evaluate("violations")

    assert browser.run(visit) == []
    assert not findings.lines, str(findings)


@pytest.mark.parametrize("status", ["400", "403", "404", "500"])
def test_an_error_page_needs_nothing_from_the_request_that_failed(status: str):
    page = render_to_string(f"{status}.html")

    assert f'<span class="status">{status}</span>' in page
    assert '<a class="button first" href="/">' in page
