"""The page that sends requests: in a real browser, under the enforced policy, against the site itself."""

from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import Chromium


def test_an_unpaid_request_shows_its_status_and_its_terms(browser: Chromium, live_server: LiveServer):
    def visit(context: BrowserContext) -> tuple[str, str, list[str]]:
        page = context.new_page()
        page.goto(f"{live_server.url}/docs/try/")
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("[data-try-answer]:not([hidden])")
        focused = page.evaluate("document.activeElement.textContent")
        return focused, page.inner_text("[data-try-parts]"), page.evaluate("violations")

    status, parts, violations = browser.run(visit)

    assert status.startswith("402")
    assert parts.startswith("Terms, from PAYMENT-REQUIRED")
    assert '"x402Version": 2' in parts
    assert "payment-required: " in parts
    assert violations == []


def test_a_path_is_filled_in_and_a_refusal_is_shown_as_it_is(browser: Chromium, live_server: LiveServer):
    def visit(context: BrowserContext) -> tuple[str, str]:
        page = context.new_page()
        page.goto(f"{live_server.url}/docs/try/?operation=operation-problem")
        page.select_option("#field-operation", label="GET /api/v1/payments/{payment_id}")
        page.fill("[data-name=payment_id]", "pay_no/thing")
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("[data-try-answer]:not([hidden])")
        return page.inner_text("[data-try-status]"), page.inner_text("[data-try-parts]")

    status, parts = browser.run(visit)

    assert status.startswith("404")
    assert "application/problem+json" in parts
