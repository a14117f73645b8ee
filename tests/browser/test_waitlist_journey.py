"""The whole way through the waitlist in a real browser, with mail that a real SMTP server took."""

import re
import secrets
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import Envelope, Session
from django.contrib.auth.models import User
from eth_account import Account as Key
from eth_account.messages import encode_defunct
from playwright.sync_api import BrowserContext, Page
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from loa_site.local.ports import free_port
from tests.browser.chromium import PHONE, Chromium, Findings, listening
from tests.browser.test_staff_pages import cookies_of
from waitlist.models import Entry, InviteBatch, JoinRequest, Mail
from waitlist.models.entry import EntryState
from waitlist.pages import form_seal
from waitlist.tasks import work


class Mailbox(Message):
    """What the mail server has taken."""

    def __init__(self) -> None:
        super().__init__(EmailMessage)
        self.messages: list[EmailMessage] = []

    def prepare_message(self, session: Session, envelope: Envelope) -> EmailMessage:
        """The message as its reader's program understands it."""
        content = envelope.original_content or b""
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def handle_message(self, message: Any) -> None:
        """Keep it."""
        self.messages.append(message)

    def link(self, purpose: str) -> str:
        """The newest mail's link of a kind."""
        body = self.messages[-1].get_body(("plain",))
        assert body is not None
        found = re.search(rf"https?://\S+/waitlist/{purpose}/\S+", body.get_content())
        assert found is not None
        return found[0]


@pytest.fixture
def mailbox(settings: Settings, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A real mail server on this machine, and a site that sends to it and names itself as the browser sees it."""
    for model in (JoinRequest, Mail, Entry, InviteBatch):
        model.objects.all().delete()
    monkeypatch.setattr(form_seal, "SECONDS_MIN", -1)  # the browser fills a form faster than a person
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    host = live_server.url.partition("://")[2]
    settings.LOA = settings.LOA | {"PUBLIC_ORIGIN": live_server.url, "SIWE_DOMAIN": host, "SIWE_URI": live_server.url}
    yield box
    controller.stop()


def in_browser(browser: Chromium, work_on: Any, *, cookies: list[dict[str, str]] | None = None) -> Any:
    """Do something in a fresh browser and give what it gives; nothing may be blocked or written to the console."""
    findings = Findings()

    def visit(context: BrowserContext) -> Any:
        context.add_cookies(cookies or [])
        with listening(context, findings) as page:
            outcome = work_on(page)
            assert page.evaluate("violations") == []
            return outcome

    outcome = browser.run(visit, view=PHONE)
    assert not findings.lines, str(findings)
    return outcome


def join(page: Page, origin: str, address: str, *, at: str = "/") -> str:
    """Fill in the form of a page; the heading that follows."""
    page.goto(origin + at)
    page.fill("#field-email", address)
    page.check("#field-consent")
    page.click("text=Put me on the list")
    return page.inner_text("h1")


def press(page: Page, address: str, button: str) -> str:
    """Open a link of a mail and press its button; the address one arrives at."""
    page.goto(address)
    page.locator("main").get_by_role("button", name=button, exact=True).click()
    return page.url


def confirmed(browser: Chromium, mailbox: Mailbox, origin: str, address: str, *, at: str = "/") -> str:
    """Join and confirm; the address of the page of the place."""
    heading = in_browser(browser, lambda page: join(page, origin, address, at=at))
    assert heading == "Look into your mailbox"
    work()
    link = mailbox.link("confirm")
    return str(in_browser(browser, lambda page: press(page, link, "Yes, confirm")))


def text_of(browser: Chromium, address: str) -> str:
    """What a page says."""

    def read(page: Page) -> str:
        page.goto(address)
        return page.inner_text("main")

    return str(in_browser(browser, read))


def test_join_mail_confirm_position_refer_invite_unsubscribe_export_erase(
    browser: Chromium, live_server: LiveServer, mailbox: Mailbox
):
    origin, name = live_server.url, secrets.token_hex(4)
    ada, bob = f"ada.{name}@example.com", f"bob.{name}@example.com"

    place = confirmed(browser, mailbox, origin, ada)
    assert re.search(r"1\s+of 1", text_of(browser, place))

    work()  # the welcome
    friend_address = in_browser(browser, lambda page: (page.goto(place), page.inner_text("code.copyable"))[1])
    bobs_place = confirmed(browser, mailbox, origin, bob, at=friend_address.removeprefix(origin))
    assert "1 friend has confirmed" in text_of(browser, place)
    assert re.search(r"2\s+of 2", text_of(browser, bobs_place))

    staff = User.objects.create_superuser(f"root-{name}", password="only-for-tests")
    in_browser(browser, lambda page: invite(page, origin), cookies=cookies_of(staff, live_server))
    work()
    assert mailbox.messages[-1]["To"] == ada
    invitation = mailbox.link("invitation")
    in_browser(browser, lambda page: press(page, invitation, "Come in"))
    assert Entry.objects.get(email=ada).state == EntryState.ACCEPTED
    assert "You are in" in text_of(browser, place)

    [welcome] = [one for one in mailbox.messages if one["To"] == bob and one["Subject"] == "You are in the line"]
    assert welcome["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    leave = welcome["List-Unsubscribe"].strip().strip("<>")
    in_browser(browser, lambda page: press(page, leave, "Leave"))
    assert Entry.objects.get(email=bob).state == EntryState.LEFT

    exported = in_browser(browser, lambda page: export(page, place))
    assert f'"email": "{ada}"' in exported

    in_browser(browser, lambda page: press(page, place + "/erase", "Erase"))
    assert not Entry.objects.filter(email=ada).exists()


def invite(page: Page, origin: str) -> None:
    """Invite one person from the staff pages."""
    page.goto(f"{origin}/admin/waitlist/invitebatch/")
    page.click("text=Invite the next people")
    page.fill("[name=wanted]", "1")
    page.fill("[name=reason]", "opening day")
    page.click("text=Invite >> visible=true >> nth=-1")
    page.wait_for_selector("text=people are being invited")


def export(page: Page, place: str) -> str:
    """Take one's data along; the file's text."""
    page.goto(place)
    with page.expect_download() as download:
        page.click("text=Take it along")
    return download.value.path().read_text()


def wallet_in(page: Page, key: Any) -> None:
    """Give the page a wallet as browsers' extensions do, whose key is in this process."""
    page.expose_function(
        "signWithKey", lambda text: "0x" + key.sign_message(encode_defunct(hexstr=text)).signature.hex()
    )
    page.add_init_script(
        "window.ethereum = {request: async ({method, params}) => method === 'eth_requestAccounts'"
        f" ? ['{key.address.lower()}'] : window.signWithKey(params[0])}}"
    )


def test_a_wallet_in_the_browser_joins_with_two_presses(browser: Chromium, live_server: LiveServer, mailbox: Mailbox):
    key = Key.create()

    def work_on(page: Page) -> str:
        wallet_in(page, key)
        page.goto(f"{live_server.url}/waitlist/wallet")
        page.click("text=Ask my wallet")
        page.wait_for_function("document.querySelector('#field-wallet').value.length === 42")
        page.check("#field-consent")
        page.click("text=Show me the message")
        page.click("text=Sign with my wallet")
        page.wait_for_url("**/waitlist/place/**")
        return page.inner_text("main")

    assert re.search(r"1\s+of 1", in_browser(browser, work_on))
    assert Entry.objects.get(wallet=key.address.lower()).state == EntryState.WAITING


def test_a_wallet_in_the_browser_signs_in_to_its_account(browser: Chromium, live_server: LiveServer, mailbox: Mailbox):
    key = Key.create()

    def work_on(page: Page) -> str:
        wallet_in(page, key)
        page.goto(f"{live_server.url}/account/")
        page.click("text=Ask my wallet")
        page.wait_for_function("document.querySelector('#field-wallet').value.length === 42")
        page.click("text=Show me the message")
        page.click("text=Sign with my wallet")
        page.wait_for_url("**/account/")
        return page.inner_text("main")

    assert key.address.lower() in in_browser(browser, work_on)
