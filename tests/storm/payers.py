"""Payers in a storm: each draws what to do next, and sends the same payload again until it has an answer.

They know HTTP, the x402 headers and how to sign, and nothing of the code under test. Whatever they do is remembered.
"""

import random
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import contracts
from loa_site.local.paying_client import PayingClient
from tests.attacks.tools import authorization_in, cancel
from tests.storm.attempts import Attempt, Seen, seen_of
from tests.storm.world import World, stranger
from tests.x402.buyer import Buyer, decoded
from tests.x402.permit2_buyer import permit_header
from x402.chain import tokens

WALLETS = 3
BALANCE_MICRO_USDC = 500_000_000
REQUEST_SECONDS = 12.0
PATIENCE_SECONDS = 14.0
PAUSE_SECONDS = (0.05, 0.5)
RETRY_SECONDS = 0.4
CHAT = "/v1/chat/completions"
PURCHASE = "/api/v1/credits/purchase"
NO_ANSWER = (OSError, HTTPException, ValueError, KeyError)
NEVER = threading.Event()


@dataclass(slots=True)
class Wallet:
    """A buyer, and what it holds with the site."""

    buyer: Buyer
    token: str = ""
    key: str = ""
    has_bought: bool = False

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def new_wallet(draw: random.Random) -> Wallet:
    """A wallet whose key comes from the seed; each storm has a chain of its own."""
    return Wallet(Buyer(f"0x{draw.getrandbits(256) | 1:064x}"))


def nonce_in(headers: dict[str, str]) -> str:
    """The nonce of the payment in these headers, as the payment rows write it; empty when there is none."""
    header = headers.get("PAYMENT-SIGNATURE") or headers.get("X-PAYMENT")
    if not header:
        return ""
    payload = decoded(header)["payload"]
    if "permit2Authorization" in payload:
        return f"0x{int(payload['permit2Authorization']['nonce']):064x}"
    return str(payload["authorization"]["nonce"]).lower()


@dataclass(slots=True)
class Payer:
    """One payer with its wallets. `wish` runs in the payer's own thread."""

    number: int
    world: World
    draw: random.Random
    wallets: list[Wallet]
    attempts: list[Attempt] = field(default_factory=list)
    deeds: dict[Callable[[], None], int] = field(init=False)

    def __post_init__(self) -> None:
        self.deeds = {
            self.exact: 6,
            self.version_one: 2,
            self.by_permit: 3,
            self.metered: 4,
            self.after: 3,
            self.deferred: 3,
            self.slow: 3,
            self.rerun: 2,
            self.broken: 2,
            self.chat: 2,
            self.stream: 3,
            self.double_click: 3,
            self.replay: 3,
            self.cancelled: 2,
            self.front_run: 2,
            self.buy_credit: 2,
            self.call_by_key: 4,
            self.refund: 2,
            self.hang_up: 2,
        }

    def run(self, is_over: threading.Event) -> None:
        """Draw a wish and follow it, until the storm is over."""
        while not is_over.is_set():
            [deed] = self.draw.choices(list(self.deeds), weights=list(self.deeds.values()))
            with suppress(*NO_ANSWER, LookupError, RuntimeError):  # the site, or the chain, is not to be reached now
                deed()
            is_over.wait(self.draw.uniform(*PAUSE_SECONDS))

    def finish(self, *, deadline: float) -> None:
        """Send what is unanswered again until it is answered, or the time is over."""
        for attempt in self.attempts:
            self._insist(attempt, until=deadline)

    def exact(self) -> None:
        self._pay("exact", f"/item/{secrets.token_hex(4)}")

    def slow(self) -> None:
        self._pay("slow", f"/slow/{secrets.token_hex(4)}")

    def rerun(self) -> None:
        self._pay("rerun", f"/rerun/{secrets.token_hex(4)}")

    def broken(self) -> None:
        self._pay("broken", f"/broken/{secrets.token_hex(4)}")

    def after(self) -> None:
        self._pay("after", f"/after/{secrets.token_hex(4)}")

    def by_permit(self) -> None:
        self._permit("permit2", f"/item/{secrets.token_hex(4)}", scheme="exact")

    def metered(self) -> None:
        self._permit("upto", f"/metered/{secrets.token_hex(4)}", scheme="upto")

    def deferred(self) -> None:
        self._permit("deferred", f"/deferred/{secrets.token_hex(4)}", scheme="upto")

    def chat(self) -> None:
        self._pay("chat", CHAT, self._question())

    def stream(self) -> None:
        self._pay("stream", CHAT, self._question() | {"stream": True})

    def version_one(self) -> None:
        """The older protocol echoes nothing, so an Idempotency-Key proves that a retry is the payer's own."""
        wallet, path = self._wallet(), f"/item/{secrets.token_hex(4)}"
        asked = self._ask("GET", path)
        if asked is None or asked.status != 402:
            return
        headers = {"X-PAYMENT": wallet.buyer.v1_header(asked.json()), "Idempotency-Key": secrets.token_hex(16)}
        self._insist(self._attempt("version_one", wallet, path, headers=headers))

    def double_click(self) -> None:
        """Two, and then four, send the same payment at once."""
        attempt = self._signed("double_click", f"/slow/{secrets.token_hex(4)}")
        if attempt is not None:
            with ThreadPoolExecutor(4) as clicks:
                list(clicks.map(lambda _: self._send(attempt), range(4)))
            self._insist(attempt)

    def replay(self) -> None:
        """Send something again that was answered before."""
        answered = [one for one in self.attempts if one.is_over and one.nonce]
        if answered:
            self._send(self.draw.choice(answered))

    def hang_up(self) -> None:
        """Pay, do not wait for the answer, and ask for it later."""
        attempt = self._signed("hang_up", f"/slow/{secrets.token_hex(4)}")
        if attempt is not None:
            self._send(attempt, seconds=self.draw.uniform(0.05, 1.0))
            NEVER.wait(self.draw.uniform(0.1, 1.0))
            self._insist(attempt)

    def cancelled(self) -> None:
        """Withdraw the authorization on the chain, before, while or after it is sent."""
        attempt = self._signed("cancelled", f"/item/{secrets.token_hex(4)}")
        if attempt is None:
            return
        wallet = next(one for one in self.wallets if one.buyer.address.lower() == attempt.payer)

        def withdraw() -> None:
            with suppress(*NO_ANSWER, RuntimeError):
                NEVER.wait(self.draw.uniform(0.0, 0.6))
                cancel(
                    self.world.chain,
                    wallet.buyer,
                    attempt.headers["PAYMENT-SIGNATURE"],
                    carrier=stranger(self.number),
                )

        self._beside(withdraw, attempt)

    def front_run(self) -> None:
        """Somebody else carries the authorization to the token, before or while it is sent to the site."""
        attempt = self._signed("front_run", f"/item/{secrets.token_hex(4)}")
        if attempt is None:
            return

        def carry() -> None:
            with suppress(*NO_ANSWER, RuntimeError):
                call = tokens.transfer_with_authorization(authorization_in(attempt.headers["PAYMENT-SIGNATURE"]))
                self.world.chain.send_from(stranger(self.number), contracts.USDC_ADDRESS, "0x" + call.hex())

        self._beside(carry, attempt)

    def buy_credit(self) -> None:
        """Sign in, buy a pack of prepaid credit and make an API key."""
        wallet = self._wallet()
        if self._sign_in(wallet):
            headers = wallet.bearer | {"Idempotency-Key": secrets.token_hex(16)}
            attempt = self._signed("buy_credit", PURCHASE, {"pack": 500}, wallet=wallet, headers=headers)
            if attempt is not None:
                self._insist(attempt)
                wallet.has_bought = wallet.has_bought or attempt.last.status == 200

    def call_by_key(self) -> None:
        """Pay a call from prepaid credit, sometimes twice at once under one Idempotency-Key."""
        wallet = self._wallet(lambda one: one.has_bought)
        if not wallet.has_bought or not (wallet.key or self._make_key(wallet)):
            return
        headers = {"Authorization": f"Bearer {wallet.key}", "Idempotency-Key": secrets.token_hex(16)}
        attempt = self._attempt("call_by_key", wallet, f"/item/{secrets.token_hex(4)}", headers=headers)
        if self.draw.random() < 0.3:
            with ThreadPoolExecutor(2) as clicks:
                list(clicks.map(lambda _: self._send(attempt), range(2)))
        self._insist(attempt)

    def refund(self) -> None:
        """Ask for everything refundable; the answer may be that nothing is, yet."""
        wallet = self._wallet(lambda one: bool(one.token))
        if wallet.token or self._sign_in(wallet):
            headers = wallet.bearer | {"Idempotency-Key": secrets.token_hex(16)}
            attempt = Attempt("refund", "POST", "/api/v1/credits/refund", {}, headers, wallet.buyer.address.lower())
            self.attempts.append(attempt)
            self._insist(attempt)
            if attempt.last.status == 401:
                wallet.token = ""

    def _wallet(self, wanted: Callable[[Wallet], bool] = lambda _: True) -> Wallet:
        """Any of the payer's wallets, of those that are wanted if there are any."""
        return self.draw.choice([one for one in self.wallets if wanted(one)] or self.wallets)

    def _question(self) -> dict[str, Any]:
        words = f"What survives storm {self.draw.randrange(10**6)}?"
        return {"model": "loa-demo", "max_tokens": 24, "messages": [{"role": "user", "content": words}]}

    def _pay(self, deed: str, path: str, body: dict[str, Any] | None = None) -> None:
        attempt = self._signed(deed, path, body)
        if attempt is not None:
            self._insist(attempt)

    def _permit(self, deed: str, path: str, *, scheme: str) -> None:
        wallet = self._wallet()
        terms = self._terms("GET", path)
        if terms is not None:
            headers = permit_header(wallet.buyer, terms, scheme=scheme)
            self._insist(self._attempt(deed, wallet, path, headers=headers))

    def _signed(
        self,
        deed: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        wallet: Wallet | None = None,
        headers: dict[str, str] | None = None,
    ) -> Attempt | None:
        """An exact payment, signed and not sent; None when no terms are to be had now."""
        wallet = wallet or self._wallet()
        terms = self._terms("GET" if body is None else "POST", path, body, headers)
        if terms is None:
            return None
        sent = (headers or {}) | {"PAYMENT-SIGNATURE": wallet.buyer.v2_header(terms)}
        return self._attempt(deed, wallet, path, body, headers=sent)

    def _attempt(
        self, deed: str, wallet: Wallet, path: str, body: dict[str, Any] | None = None, *, headers: dict[str, str]
    ) -> Attempt:
        method = "GET" if body is None else "POST"
        attempt = Attempt(deed, method, path, body, headers, wallet.buyer.address.lower(), nonce_in(headers))
        self.attempts.append(attempt)
        return attempt

    def _beside(self, act: Callable[[], None], attempt: Attempt) -> None:
        """Let something happen on the chain while a payment is sent."""
        other = threading.Thread(target=act)
        other.start()
        if self.draw.random() < 0.5:
            other.join()
        self._insist(attempt)
        other.join()

    def _insist(self, attempt: Attempt, *, until: float = 0.0) -> None:
        """Send the same again until there is an answer, or patience is at its end."""
        deadline = until or time.monotonic() + PATIENCE_SECONDS
        while not attempt.is_over and time.monotonic() < deadline:
            if not self._send(attempt).is_last:
                NEVER.wait(RETRY_SECONDS)

    def _send(self, attempt: Attempt, *, seconds: float = REQUEST_SECONDS) -> Seen:
        site = self.world.site(self.draw.randint(1, self.world.shape.web))
        try:
            answer = site.ask(attempt.method, attempt.path, attempt.body, attempt.headers, timeout_seconds=seconds)
            seen = seen_of(answer.status, answer.headers, answer.body)
        except (OSError, HTTPException):
            seen = Seen(0)
        attempt.seen.append(seen)
        return seen

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        site = self.world.site(self.draw.randint(1, self.world.shape.web))
        try:
            return site.ask(method, path, body, headers, timeout_seconds=REQUEST_SECONDS)
        except (OSError, HTTPException):
            return None

    def _terms(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        asked = self._ask(method, path, body, headers)
        if asked is None or asked.status != 402:
            return None
        named = {name.lower(): value for name, value in asked.headers.items()}
        return decoded(named["payment-required"])

    def _client(self, wallet: Wallet) -> PayingClient:
        port = self.world.site(self.draw.randint(1, self.world.shape.web)).port
        return PayingClient(f"http://127.0.0.1:{port}", wallet.buyer.private_key, wallet.token)

    def _sign_in(self, wallet: Wallet) -> bool:
        client = self._client(wallet)
        client.token = ""
        if client.sign_in().status == 200:
            wallet.token = client.token
        return bool(wallet.token)

    def _make_key(self, wallet: Wallet) -> bool:
        made = self._client(wallet).post("/api/v1/keys", {"name": "storm"})
        if made.status == 201:
            wallet.key = made.body["secret"]
        return bool(wallet.key)
