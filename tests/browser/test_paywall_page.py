"""The paywall page in a real Chromium: it explains, and it pays with an injected wallet, on to the paid answer."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from eth_account import Account
from playwright.sync_api import BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import LIGHT, VIEWS, Chromium, Findings, View, inspect, listening
from tests.x402.chain_tools import LocalChain
from x402.models import Payment, PaymentState

WALLET = (Path(__file__).parent / "wallet.js").read_text()
NETWORK = "eip155:84532"
PAID = "#x402-status[data-tone=good]"
REFUSED = "#x402-status[data-tone=bad]"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.browser.paywall_urls")]


class Wallet:
    """A funded wallet of the local chain, which signs what it is shown."""

    def __init__(self, balance_micro_usdc: int = 1_000_000) -> None:
        self.key = "0x" + secrets.token_hex(32)
        self.address = str(Account.from_key(self.key).address)
        LocalChain(settings.LOA["NETWORKS"][NETWORK]["rpc_urls"][0]).mint(self.address, balance_micro_usdc)

    def inject(self, context: BrowserContext, **habits: bool) -> None:
        context.expose_function("walletAddress", lambda: self.address)
        context.expose_function("signTypedData", self.sign)
        context.add_init_script(
            WALLET + "".join(f"window.{name} = {json.dumps(value)};" for name, value in habits.items())
        )

    def sign(self, address: str, document: str) -> str:
        assert address == self.address
        signed = Account.sign_typed_data(self.key, full_message=json.loads(document))
        return str(signed.signature.to_0x_hex())


@pytest.fixture(autouse=True)
def _origin_of_the_server(live_server: LiveServer, settings: Any) -> None:
    settings.LOA = settings.LOA | {"PUBLIC_ORIGIN": live_server.url}


@pytest.fixture
def paying(browser: Chromium, live_server: LiveServer) -> Callable[..., tuple[Any, Findings]]:
    """Open a paid page with a wallet and do something there; what came of it, and what was wrong on the page."""

    def visit(path: str, act: Callable[[Page], Any], *, wallet: Wallet | None = None, **habits: bool) -> Any:
        findings = Findings()

        def in_context(context: BrowserContext) -> Any:
            if wallet is not None:
                wallet.inject(context, **habits)
            with listening(context, findings) as page:
                assert page.goto(live_server.url + path).status == 402
                result = act(page)
                for violation in page.evaluate("window.violations"):
                    findings.add(path, violation)
                return result

        return browser.run(in_context), findings

    return visit


def test_a_wallet_pays_for_the_page_and_reads_the_answer(paying: Callable[..., Any]) -> None:
    wallet, seen = Wallet(), Findings()

    def pay(page: Page) -> tuple[str, list[str], str]:
        page.click("#x402-pay")
        page.wait_for_selector(PAID)
        inspect(page, name="paywall-paid", view=LIGHT, findings=seen)
        return page.inner_text("#x402-answer pre"), page.evaluate("walletCalls"), page.inner_text("#x402-receipt")

    (answer, calls, receipt), findings = paying("/paid/forecast", pay, wallet=wallet)

    payment = Payment.objects.get(payer=wallet.address.lower())
    assert json.loads(answer) == {"tomorrow": "sunny", "paid_by": wallet.address.lower()}
    assert calls == ["eth_requestAccounts", "eth_chainId", "wallet_switchEthereumChain", "eth_signTypedData_v4"]
    assert receipt == f"{payment.pk} {NETWORK} {payment.transaction_hash}"
    assert (payment.state, payment.charged_micro_usdc) == (PaymentState.SERVED, 10_000)
    assert not findings.lines + seen.lines, f"{findings}{seen}"


def test_a_paid_page_takes_the_place_of_the_paywall(paying: Callable[..., Any]) -> None:
    wallet = Wallet()

    def pay(page: Page) -> tuple[str, str]:
        page.click("#x402-pay")
        page.wait_for_selector("text=Dear reader")
        return page.title(), page.inner_text("body")

    (title, body), findings = paying("/paid/letter", pay, wallet=wallet)

    assert (title, body.strip()) == ("A letter", "Dear reader")
    assert not findings.lines, str(findings)


def test_what_a_browser_cannot_show_is_offered_to_be_saved(paying: Callable[..., Any]) -> None:
    def pay(page: Page) -> tuple[str, str]:
        page.click("#x402-pay")
        page.wait_for_selector(PAID)
        link = page.locator("#x402-answer a")
        return link.inner_text(), str(link.get_attribute("download"))

    (words, name), findings = paying("/paid/picture", pay, wallet=Wallet())

    assert (words, name) == ("Save what you bought", "picture")
    assert not findings.lines, str(findings)


def test_a_page_that_is_loaded_again_shows_what_was_bought_and_charges_nothing(paying: Callable[..., Any]) -> None:
    wallet = Wallet()

    def pay_twice(page: Page) -> str:
        page.click("#x402-pay")
        page.wait_for_selector(PAID)
        page.reload()
        page.click("#x402-again")
        page.wait_for_selector(PAID)
        return page.inner_text("#x402-answer pre")

    answer, _ = paying("/paid/forecast", pay_twice, wallet=wallet)

    assert json.loads(answer)["tomorrow"] == "sunny"
    assert Payment.objects.filter(payer=wallet.address.lower()).count() == 1


@pytest.mark.parametrize(
    ("habit", "words"),
    [("walletDeclines", "You declined in your wallet."), ("walletKnowsNoChain", "does not know eip155:84532")],
)
def test_a_wallet_that_will_not_pay_is_told_so_and_nothing_is_written(
    paying: Callable[..., Any], habit: str, words: str
) -> None:
    wallet = Wallet()

    def refuse(page: Page) -> str:
        page.click("#x402-pay")
        page.wait_for_selector(REFUSED)
        return page.inner_text("#x402-status")

    said, findings = paying("/paid/forecast", refuse, wallet=wallet, **{habit: True})

    assert words in said
    assert not Payment.objects.filter(payer=wallet.address.lower()).exists()
    assert not findings.lines, str(findings)


def test_a_payment_that_is_refused_says_why_and_may_be_signed_anew(paying: Callable[..., Any]) -> None:
    def pay(page: Page) -> tuple[str, bool, bool]:
        page.click("#x402-pay")
        page.wait_for_selector(REFUSED)
        return page.inner_text("#x402-status"), page.is_enabled("#x402-pay"), page.is_visible("#x402-again")

    (said, may_pay, may_repeat), _ = paying("/paid/forecast", pay, wallet=Wallet(balance_micro_usdc=5))

    assert "insufficient funds" in said
    assert (may_pay, may_repeat) == (True, False)


def test_a_browser_without_a_wallet_is_told_how_else_to_pay(paying: Callable[..., Any]) -> None:
    def pay(page: Page) -> str:
        page.click("#x402-pay")
        page.wait_for_selector(REFUSED)
        return page.inner_text("#x402-status")

    said, findings = paying("/paid/forecast", pay)

    assert said.startswith("No wallet was found")
    assert not findings.lines, str(findings)


def test_the_page_explains_itself_without_javascript(browser: Chromium, live_server: LiveServer) -> None:
    def visit(context: BrowserContext) -> tuple[str, bool]:
        assert context.browser is not None
        quiet = context.browser.new_context(java_script_enabled=False)
        page = quiet.new_page()
        page.goto(f"{live_server.url}/paid/forecast")
        seen = page.inner_text("main"), page.is_visible("#x402-pay")
        quiet.close()
        return seen

    text, has_button = browser.run(visit)

    assert "This costs $0.01" in text
    assert "Tomorrow's weather, for one place" in text
    assert "Base Sepolia" in text
    assert "needs JavaScript" in text
    assert f"x402_pay '{live_server.url}/paid/forecast'" in text
    assert not has_button


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_the_paywall_page_is_clean_accessible_and_fits(browser: Chromium, live_server: LiveServer, view: View) -> None:
    findings = Findings()

    def visit(context: BrowserContext) -> None:
        with listening(context, findings) as page:
            page.goto(f"{live_server.url}/paid/forecast")
            inspect(page, name="paywall", view=view, findings=findings)

    browser.run(visit, view=view)

    assert not findings.lines, str(findings)
