"""What may come between in a real browser: a second tab, a token that is sold meanwhile, a picture of a stranger's."""

import base64
import json
import secrets
import struct
import zlib

import pytest
from eth_account import Account as Key
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from playwright.sync_api import BrowserContext, Page
from pytest_django.live_server_helper import LiveServer
from web3 import Web3

import contracts
from accounts.services import allowlist
from loa_site.local import agents
from loa_site.local.chain import Chain
from nft.domain.personality import Traits
from nft.models import Personality
from nft.services import personalities, pictures
from nft.services.agents import agent_token
from tests.browser.chromium import DARK, LIGHT, PHONE, Chromium, Findings, View, inspect, listening
from tests.browser.test_onboarding_journey import chain
from tests.x402.chain_tools import LocalChain

__all__ = ["chain"]


class Holder:
    """A wallet on the allowlist that owns a token of the local collection."""

    def __init__(self, chain: Chain) -> None:
        self.key: LocalAccount = Key.create()
        self.token_id = secrets.randbits(64)
        self._chain = LocalChain(chain.url)
        agents.mint(chain, self.key.address, self.token_id)
        allowlist.add([self.key.address], actor="test", reason="a tester")

    def send(self, name: str, *arguments: object) -> None:
        """Call the collection, and wait until it is mined."""
        address = Web3.to_checksum_address(contracts.LOCAL_AGENTS_ADDRESS)
        target = Web3().eth.contract(address=address, abi=contracts.load("LocalAgents").abi)
        self._chain.send_mined("0x" + self.key.key.hex(), address, target.encode_abi(name, list(arguments)))

    def sign_in(self, page: Page, origin: str) -> None:
        """By the form that needs no script."""
        page.goto(f"{origin}/account/")
        page.fill("#field-wallet", self.key.address)
        page.click("text=Show me the message")
        message = page.input_value("#field-message")
        page.fill("#field-signature", "0x" + self.key.sign_message(encode_defunct(text=message)).signature.hex())
        page.locator("main").get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("link", name="Your NFT's agent").wait_for()


@pytest.fixture
def holder(chain: Chain) -> Holder:
    return Holder(chain)


def choose(page: Page, origin: str) -> None:
    page.goto(f"{origin}/onboarding/")
    page.get_by_role("button", name="Look for my tokens").click()
    page.get_by_role("button", name="Take this one").click()
    page.locator("#field-name").wait_for()


def png() -> bytes:
    """A red square that a browser can show."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xc0\x30\x30" * 32 for _ in range(32))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def test_of_two_tabs_the_second_is_told_and_shown_where_it_is(
    browser: Chromium, live_server: LiveServer, holder: Holder
) -> None:
    def work_on(context: BrowserContext) -> str:
        first, second = context.new_page(), context.new_page()
        holder.sign_in(first, live_server.url)
        choose(first, live_server.url)
        second.goto(f"{live_server.url}/onboarding/")
        first.select_option("#field-voice", "sage")
        first.get_by_role("button", name="Give it this voice").click()
        first.get_by_role("heading", name="Credit").wait_for()
        second.select_option("#field-voice", "witty")
        second.get_by_role("button", name="Give it this voice").click()
        second.get_by_role("alert").wait_for()
        return second.inner_text("main")

    said = browser.run(work_on)

    assert "changed elsewhere" in said
    assert Personality.objects.get(token_id=str(holder.token_id)).voice == "sage"


def test_a_token_sold_between_choice_and_voice_gets_none(
    browser: Chromium, live_server: LiveServer, holder: Holder
) -> None:
    def work_on(context: BrowserContext) -> str:
        page = context.new_page()
        holder.sign_in(page, live_server.url)
        choose(page, live_server.url)
        holder.send("transferFrom", holder.key.address, Web3.to_checksum_address("0x" + "7" * 40), holder.token_id)
        page.get_by_role("button", name="Give it this voice").click()
        page.get_by_role("alert").wait_for()
        return page.inner_text("main")

    said = browser.run(work_on)

    assert "does not own this token now" in said
    assert not Personality.objects.filter(token_id=str(holder.token_id)).exists()


@pytest.mark.parametrize("view", [LIGHT, DARK, PHONE], ids=lambda view: view.name)
def test_an_agents_page_shows_its_picture_from_this_site_under_the_policy(
    browser: Chromium, live_server: LiveServer, holder: Holder, view: View
) -> None:
    image = "data:image/png;base64," + base64.b64encode(png()).decode()
    described = "data:application/json," + json.dumps({"image": image})
    findings, token_id = Findings(), str(holder.token_id)
    holder.send("setTokenURI", holder.token_id, described)
    personalities.create(
        agent_token(contracts.LOCAL_AGENTS_ADDRESS, token_id), Traits("Ada"), wallet=holder.key.address.lower()
    )
    assert pictures.fetch_for_agents(limit=1) == 1

    def work_on(context: BrowserContext) -> int:
        with listening(context, findings) as page:
            page.goto(f"{live_server.url}/agent/{contracts.LOCAL_AGENTS_ADDRESS}/{token_id}")
            page.wait_for_function("document.querySelector('.portrait img').complete")
            inspect(page, name="agent-with-picture", view=view, findings=findings)
            return int(page.evaluate("document.querySelector('.portrait img').naturalWidth"))

    width = browser.run(work_on, view=view)

    assert not findings.lines, str(findings)
    assert width == 32
