"""A payer without curl: signs in with a wallet, has what is owed paid out, and sees it arrive on the chain."""

from typing import Any

import pytest
from django.conf import settings as site_settings
from eth_account import Account as Key
from playwright.sync_api import BrowserContext, Page
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import LIGHT, PHONE, Chromium, Findings, View, inspect, listening
from tests.browser.test_waitlist_journey import wallet_in
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from tests.x402.refunding import FINAL_BLOCKS, FLOAT, finished
from x402.models import Refund

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.credit_urls")]

OWED = 2_000  # MicroUSDC of the call whose work broke
CHANGE = 1_300  # of the call that cost less


@pytest.fixture
def chain(live_server: LiveServer, settings: Settings) -> LocalChain:
    """The local chain, with a float that can pay, and a site that names itself as the browser sees it."""
    host = live_server.url.partition("://")[2]
    settings.LOA = settings.LOA | {"PUBLIC_ORIGIN": live_server.url, "SIWE_DOMAIN": host, "SIWE_URI": live_server.url}
    chain = LocalChain(site_settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    chain.mint(FLOAT, 1_000_000_000)
    return chain


def sign_in(page: Page, origin: str) -> None:
    """Press through the sign-in with the wallet that is in the page."""
    page.goto(f"{origin}/account/")
    page.click("text=Ask my wallet")
    page.wait_for_function("document.querySelector('#field-wallet').value.length === 42")
    page.click("text=Show me the message")
    page.click("text=Sign with my wallet")
    page.wait_for_url("**/account/")


@pytest.mark.parametrize("view", [LIGHT, PHONE], ids=lambda view: view.name)
def test_credit_is_paid_out_to_the_wallet_by_one_button(
    browser: Chromium, live_server: LiveServer, chain: LocalChain, view: View
):
    key, findings = Key.create(), Findings()
    buyer = Buyer("0x" + key.key.hex().removeprefix("0x"))
    chain.mint(buyer.address, 1_000_000)
    buyer.buy("/failing")
    buyer.buy("/metered", {"n": 1})
    before = chain.balance_of(buyer.address)

    def look(page: Page, name: str) -> str:
        inspect(page, name=name, view=view, findings=findings)
        return page.inner_text("main")

    def ask(context: BrowserContext) -> tuple[str, str, list[Any]]:
        with listening(context, findings) as page:
            wallet_in(page, key)
            sign_in(page, live_server.url)
            too_early = look(page, "account-not-final")
            chain.mine(FINAL_BLOCKS)
            page.reload()
            page.get_by_role("button", name="Pay 0.003300 USDC back to my wallet").click()
            return too_early, look(page, "account-refund"), context.cookies()

    def look_again(context: BrowserContext, cookies: list[Any]) -> str:
        context.add_cookies(cookies)
        with listening(context, findings) as page:
            page.goto(f"{live_server.url}/account/")
            return look(page, "account-refunded")

    too_early, asked, cookies = browser.run(ask, view=view)
    refund = finished(Refund.objects.get(wallet=buyer.address.lower()).pk, chain)
    paid = browser.run(lambda context: look_again(context, cookies), view=view)

    assert "0.003300 USDC cannot be paid out yet" in too_early
    assert "0.003300 USDC on their way" in asked
    assert "paid out" in paid
    assert refund.transaction_hash[:14] in paid
    assert (refund.state, refund.amount_micro_usdc) == ("paid", OWED + CHANGE)
    assert chain.balance_of(buyer.address) == before + OWED + CHANGE
    assert not findings.lines, str(findings)
