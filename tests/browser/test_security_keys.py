"""A security key in a real Chromium: its virtual authenticator answers what our page and our script asked."""

import secrets

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import BrowserContext, CDPSession, Page
from pytest_django.live_server_helper import LiveServer

from accounts.models import AuditEvent, SecurityKey
from tests.browser.chromium import LIGHT, Chromium, Findings, inspect, listening

pytestmark = pytest.mark.timeout(400)  # pages are waited for, however slow the machine is

PASSWORD = "only-for-tests"
PATIENCE_MS = 100_000
USB = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasResidentKey": False,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def origin(live_server: LiveServer, settings) -> str:
    """The site by a name, as browsers want it for keys."""
    named = live_server.url.replace("127.0.0.1", "localhost")
    settings.LOA = {**settings.LOA, "PUBLIC_ORIGIN": named, "STAFF_SECOND_FACTOR": "required"}
    return named


@pytest.fixture
def user(live_server: LiveServer) -> User:
    return User.objects.create_superuser(f"root-{secrets.token_hex(4)}", password=PASSWORD)


def sign_in(page: Page, origin: str, user: User) -> None:
    page.goto(f"{origin}/admin/login/?next=/admin/")
    page.fill("#id_username", user.username)
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    page.wait_for_url("**/second-factor/**")


def plug_in(session: CDPSession) -> str:
    return str(session.send("WebAuthn.addVirtualAuthenticator", {"options": USB})["authenticatorId"])


def test_staff_add_keys_sign_in_with_one_and_remove_the_other(browser: Chromium, origin: str, user: User):
    findings = Findings()

    def visit(context: BrowserContext) -> tuple[str, str]:
        with listening(context, findings) as page:
            page.set_default_timeout(PATIENCE_MS)
            session = context.new_cdp_session(page)
            session.send("WebAuthn.enable")
            first = plug_in(session)
            sign_in(page, origin, user)
            inspect(page, name="second-factor-first", view=LIGHT, findings=findings)
            page.click("text=Use a security key instead")
            page.fill("#id_name", "blue")
            page.click("[data-security-key-ask]")
            page.wait_for_selector(".loa-codes")
            page.click("text=I have kept them")
            page.wait_for_selector("body.dashboard")

            page.goto(f"{origin}/admin/security-keys/")
            session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": first})
            plug_in(session)
            page.fill("#id_name", "green")
            page.click("[data-security-key-ask]")
            page.wait_for_selector("text=opens the staff pages from now on")
            inspect(page, name="security-keys", view=LIGHT, findings=findings)

            context.clear_cookies()
            sign_in(page, origin, user)
            inspect(page, name="second-factor-key", view=LIGHT, findings=findings)
            page.click("[data-security-key-ask]")
            page.wait_for_selector("body.dashboard")

            page.goto(f"{origin}/admin/security-keys/")
            page.click("button[aria-label='Remove blue']")
            page.wait_for_selector("text=The key is removed")
            return page.inner_text("#content"), page.url

    text, url = browser.run(visit)

    assert not findings.lines, str(findings)
    assert "green" in text
    assert url.endswith("/admin/security-keys/")
    assert [key.name for key in SecurityKey.objects.filter(user=user)] == ["green"]
    actions = AuditEvent.objects.filter(actor=user.username).order_by("id").values_list("action", flat=True)
    assert list(actions) == ["staff.security_key_added", "staff.security_key_added", "staff.security_key_removed"]


def test_somebody_elses_key_and_no_key_open_nothing_and_say_so(browser: Chromium, origin: str, user: User):
    def visit(context: BrowserContext) -> tuple[str, str]:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        session = context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        mine = plug_in(session)
        sign_in(page, origin, user)
        page.goto(f"{origin}/admin/security-keys/")
        page.fill("#id_name", "blue")
        page.click("[data-security-key-ask]")
        page.wait_for_selector(".loa-codes")
        context.clear_cookies()
        session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": mine})
        plug_in(session)
        sign_in(page, origin, user)
        page.click("[data-security-key-ask]")
        page.wait_for_function("document.querySelector('[data-security-key-says]').textContent !== ''")
        said = page.inner_text("[data-security-key-says]")
        page.goto(f"{origin}/admin/")
        return said, page.url

    said, url = browser.run(visit)

    assert said
    assert "/second-factor/" in url
