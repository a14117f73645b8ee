"""A holder's whole way in a real browser, with scripts and without: from the allowlist to an agent that is paid for."""

import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from eth_account import Account as Key
from eth_account.messages import encode_defunct
from playwright.sync_api import BrowserContext, Page
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from accounts.services import allowlist
from loa_site.local import agents
from loa_site.local.chain import Chain
from nft.models import OnboardingSession, Personality
from tests.browser.chromium import LIGHT, PHONE, Chromium, Findings, View, inspect, listening
from tests.browser.test_waitlist_journey import wallet_in
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain


@pytest.fixture
def chain(live_server: LiveServer, settings: Settings, tmp_path: Path) -> Chain:
    """The local chain, its agents known to a site that is its own origin."""
    host = live_server.url.partition("://")[2]
    settings.LOA = settings.LOA | {
        "PUBLIC_ORIGIN": live_server.url,
        "SIWE_DOMAIN": host,
        "SIWE_URI": live_server.url,
        "NFT_COLLECTIONS": json.loads(agents.collections()),
    }
    return Chain(tmp_path, urlsplit(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]).port or 0)


@pytest.mark.parametrize("view", [LIGHT, PHONE], ids=lambda view: view.name)
def test_a_holder_brings_an_agent_to_life(browser: Chromium, live_server: LiveServer, chain: Chain, view: View):
    key, token_id, findings = Key.create(), secrets.randbits(64), Findings()
    agents.mint(chain, key.address, token_id)
    allowlist.add([key.address], actor="test", reason="a tester")

    def look(page: Page, name: str) -> None:
        inspect(page, name=f"onboarding-{name}", view=view, findings=findings)

    def work_on(context: BrowserContext) -> str:
        with listening(context, findings) as page:
            wallet_in(page, key)
            page.goto(f"{live_server.url}/account/")
            page.click("text=Ask my wallet")
            page.wait_for_function("document.querySelector('#field-wallet').value.length === 42")
            page.click("text=Show me the message")
            page.click("text=Sign with my wallet")
            page.wait_for_url("**/account/")
            page.get_by_role("link", name="Your NFT's agent").click()
            look(page, "detect")
            page.click("text=Look for my tokens")
            look(page, "select")
            page.click("text=Take this one")
            page.fill("#field-name", "Ada")
            page.select_option("#field-voice", "sage")
            page.fill("#field-domains", "ledgers, paper")
            page.fill("#field-instructions", "Be kind.")
            look(page, "personality")
            page.click("text=Give it this voice")
            look(page, "credits")
            page.click("text=Go on without")
            look(page, "live")
            page.click("text=Bring it to life")
            page.wait_for_url("**/agent/**")
            look(page, "agent")
            return page.inner_text("main")

    said = browser.run(work_on, view=view)

    assert not findings.lines, str(findings)
    assert "Ada" in said
    assert Personality.objects.get(token_id=str(token_id)).voice == "sage"
    assert OnboardingSession.objects.get(wallet=key.address.lower()).completed_at is not None
    LocalChain(chain.url).mint(key.address, 1_000_000)
    answer = Buyer("0x" + key.key.hex()).buy(
        "/api/v1/agent/chat", {"token_id": str(token_id), "message": "Hello", "max_tokens": 20}
    )
    assert (answer.status_code, answer.json()["personality"]["name"]) == (200, "Ada")


def test_no_script_is_needed(browser: Chromium, live_server: LiveServer, chain: Chain):
    key, token_id = Key.create(), secrets.randbits(64)
    agents.mint(chain, key.address, token_id)
    allowlist.add([key.address], actor="test", reason="a tester")

    def work_on(context: BrowserContext) -> str:
        assert context.browser is not None
        bare = context.browser.new_context(java_script_enabled=False)
        page = bare.new_page()
        page.goto(f"{live_server.url}/account/")
        page.fill("#field-wallet", key.address)
        page.click("text=Show me the message")
        message = page.input_value("#field-message")
        page.fill("#field-signature", "0x" + key.sign_message(encode_defunct(text=message)).signature.hex())
        page.locator("main").get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("link", name="Your NFT's agent").click()
        for button in ("Look for my tokens", "Take this one", "Use a default one", "Go on without", "Bring it to life"):
            page.get_by_role("button", name=button).click()
        said = page.inner_text("main")
        bare.close()
        return said

    assert "Agent " in browser.run(work_on)
    assert Personality.objects.get(token_id=str(token_id)).voice == "analytical"
