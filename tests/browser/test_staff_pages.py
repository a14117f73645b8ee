"""Every staff page in a real Chromium under the enforced policy: nothing is blocked, nothing is in the console."""

import re
import secrets

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from tests.admin.addresses import pages_of
from tests.admin.books import Book, write_book
from tests.browser.chromium import DARK, LIGHT, PHONE, VIEWS, Chromium, Findings, View, inspect, listening
from tests.browser.pages import share_of

PASSWORD = "only-for-tests"


@pytest.fixture
def root(live_server: LiveServer) -> User:
    """A superuser."""
    return User.objects.create_superuser(f"root-{secrets.token_hex(4)}", password=PASSWORD)


@pytest.fixture
def book(live_server: LiveServer) -> Book:
    """Served payments: enough for charts and lists, and the one whose pages are opened."""
    for cost in (250, 900, 1_999, 2_400):
        write_book(cost=cost)
    return write_book()


def cookies_of(user: User, live_server: LiveServer) -> list[dict[str, str]]:
    """What a browser holds in which the user is signed in."""
    client = Client()
    client.force_login(user)
    return [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]


def name_of(address: str) -> str:
    """A file name for an address; ids are left out."""
    words = re.sub(r"[a-z]{3}_5F[0-9A-Za-z]+|/\d+/", "/one/", address).strip("/").replace("/", "-")
    return re.sub(r"-+", "-", words) or "index"


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_staff_page_is_clean_accessible_and_fits(
    browser: Chromium, live_server: LiveServer, root: User, book: Book, view: View
):
    findings, addresses, cookies = Findings(), share_of(view, list(pages_of(book))), cookies_of(root, live_server)

    def visit(context: BrowserContext) -> None:
        context.add_cookies(cookies)
        with listening(context, findings) as page:
            for address in addresses:
                answer = page.goto(live_server.url + address)
                if answer.status != 200 or "unsafe" in answer.headers["content-security-policy"]:
                    findings.add(address, f"status {answer.status}")
                inspect(page, name=name_of(address), view=view, findings=findings)

    browser.run(visit, view=view)

    assert not findings.lines, str(findings)


def test_an_inline_script_planted_in_a_page_is_blocked(browser: Chromium, live_server: LiveServer, root: User):
    cookies = cookies_of(root, live_server)

    def visit(context: BrowserContext) -> tuple[bool, list[str]]:
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto(f"{live_server.url}/admin/")
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))"
        )
        return page.evaluate("window.ran === true"), page.evaluate("violations")

    ran, violations = browser.run(visit)

    assert ran is False
    assert len(violations) == 1
    assert violations[0].startswith("script-src-elem inline")


def test_staff_sign_in_and_reach_a_payment_with_the_keyboard_alone(
    browser: Chromium, live_server: LiveServer, root: User, book: Book
):
    def visit(context: BrowserContext) -> tuple[str, str, str]:
        page = context.new_page()
        page.goto(f"{live_server.url}/admin/")
        page.keyboard.type(root.username)
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/", wait_until="load")
        page.wait_for_selector("body.dashboard")
        page.keyboard.press("Tab")
        first_stop = page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        landed = page.evaluate("document.activeElement.id || location.hash")
        page.goto(f"{live_server.url}/admin/x402/payment/")
        page.focus("#searchbar")
        page.keyboard.type(book.payment.id)
        page.keyboard.press("Enter")
        page.wait_for_url("**?q=*")
        page.focus("#result_list a")
        page.keyboard.press("Enter")
        page.wait_for_url("**/change/**")
        return first_stop, landed, page.inner_text("#content h2")

    first_stop, landed, heading = browser.run(visit)

    assert (first_stop, landed) == ("Skip to main content", "content-start")
    assert book.payment.id in heading


def test_staff_choose_light_or_dark_themselves(browser: Chromium, live_server: LiveServer, root: User):
    cookies = cookies_of(root, live_server)

    def visit(context: BrowserContext) -> list[str]:
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto(f"{live_server.url}/admin/")
        seen = []
        for _ in range(3):
            seen.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            page.click("button.theme-toggle >> nth=0")
        return seen

    assert browser.run(visit, view=DARK) == ["rgb(22, 28, 24)", "rgb(255, 253, 247)", "rgb(22, 28, 24)"]
    assert browser.run(visit, view=LIGHT) == ["rgb(255, 253, 247)", "rgb(22, 28, 24)", "rgb(255, 253, 247)"]


def test_refusals_are_pages_of_the_same_design(browser: Chromium, live_server: LiveServer):
    clerk = User.objects.create_user(f"clerk-{secrets.token_hex(4)}", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_payment"))
    findings, cookies = Findings(), cookies_of(clerk, live_server)

    def visit(context: BrowserContext) -> None:
        context.add_cookies(cookies)
        with listening(context, findings) as page:
            for name, address, status in (
                ("error-403", "/admin/billing/journal/", 403),
                ("error-404", "/admin/x402/payment/nothing/change/", 404),
                ("error-400", "/admin/x402/payment/?nonce__regex=x", 400),
            ):
                if page.goto(live_server.url + address).status != status:
                    findings.add(name, "another status")
                for view in (LIGHT, PHONE):
                    page.set_viewport_size({"width": view.width, "height": view.height})
                    page.emulate_media(color_scheme=view.scheme, reduced_motion="reduce")  # no colour on its way
                    inspect(page, name=name, view=view, findings=findings)

    browser.run(visit)

    assert not findings.lines, str(findings)
