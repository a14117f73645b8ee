"""What strangers wrote is text wherever it is shown, to staff and to payers (faults.md 70)."""

import secrets

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from loa_site.models import PolicyReport
from telemetry.identifiers import new_id
from tests.browser.chromium import Chromium, Findings, listening
from tests.browser.pages import session_of
from tests.browser.test_staff_pages import cookies_of
from waitlist.models import Entry, InviteBatch

PAYLOADS = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror=window.ran=1>",
    '"><svg onload=window.ran=1>',
    "{{ 7|add:7 }}{% debug %}",
    "javascript:window.ran=1",
    "</title><script>window.ran=1</script>",
)


def test_what_strangers_wrote_is_text_on_every_page(browser: Chromium, live_server: LiveServer):
    staff = User.objects.create_superuser(f"root-{secrets.token_hex(4)}", password="only-for-tests")
    addresses = [*planted_rows(), "/admin/loa_site/policyreport/", "/admin/waitlist/entry/"]
    findings, cookies = Findings(), cookies_of(staff, live_server)

    def visit(context: BrowserContext) -> tuple[list[str], list[str]]:
        context.add_cookies(cookies)
        ran, blocked = [], []
        with listening(context, findings) as page:
            for address in addresses:
                page.goto(live_server.url + address)
                ran += [address] if page.evaluate("'ran' in window") else []
                blocked += page.evaluate("violations")
        return ran, blocked

    assert browser.run(visit) == ([], [])
    assert not findings.lines, str(findings)


def planted_rows() -> list[str]:
    """Rows that hold the payloads wherever a stranger could put them; the pages that show them."""
    now, pages = timezone.now(), []
    for payload in PAYLOADS:
        report = PolicyReport.objects.create(
            violated_directive=payload[:60], blocked_uri=payload, document_uri=payload + secrets.token_hex(3),
            first_seen_at=now, last_seen_at=now,
        )  # fmt: skip
        entry = Entry.objects.create(
            email=payload, email_key=payload + secrets.token_hex(3), consent_version="1", consented_at=now
        )
        batch = InviteBatch.objects.create(
            pk=new_id("inv"), wanted=1, created_by="ada", reason=payload, finished_at=now
        )
        pages += [
            f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/" for row in (report, entry, batch)
        ]
    return [page.replace("_0", "_5F0") for page in pages]


def test_the_name_of_a_key_is_text_on_the_payers_page(browser: Chromium, live_server: LiveServer):
    wallet = "0x" + secrets.token_hex(20)
    cookie = session_of(wallet).refresh_token
    payer = Client()
    payer.cookies["loa_account"] = cookie
    for payload in PAYLOADS:
        payer.post("/account/keys", {"name": payload})

    def visit(context: BrowserContext) -> tuple[bool, list[str], str]:
        context.add_cookies([{"name": "loa_account", "value": cookie, "url": f"{live_server.url}/account/"}])
        page = context.new_page()
        page.goto(f"{live_server.url}/account/")
        return page.evaluate("'ran' in window"), page.evaluate("violations"), page.inner_text("main")

    ran, blocked, text = browser.run(visit)

    assert (ran, blocked) == (False, [])
    assert all(payload in text for payload in PAYLOADS)
