"""Clients that buy without a pause while processes come and go: wallets, an API key, and streams by that key.

Each keeps to the documents: told 503 with Retry-After, or cut off, it sends the same thing again until it is answered.
"""

import http.client
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.journeys.live_site import Answer, LiveSite
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain

INVOKE = "/api/v1/x402/invoke"
CHAT = "/v1/chat/completions"
PATIENCE_SECONDS = 90
PAUSE_SECONDS = 0.2
BALANCE_MICRO_USDC = 1_000_000
STREAM_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Bought:
    """A payment that was answered. Units: MicroUSDC; how long the answer took, in seconds."""

    payment_id: str
    amount: int
    seconds: float


@dataclass
class Shoppers:
    """What all clients met: answers by status and code, cut connections, and what they bought."""

    port: int
    chain: LocalChain
    api_key: str
    is_over: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)
    undocumented: list[str] = field(default_factory=list)
    cut_off: int = 0
    by_wallet: list[Bought] = field(default_factory=list)
    by_key: list[Bought] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)
    running: list[Future[None]] = field(default_factory=list)

    def pay_by_wallet(self) -> None:
        """Ask for terms, sign them, send the payment until it is answered."""
        began = time.monotonic()
        buyer = Buyer("0x" + secrets.token_hex(32))
        self.chain.mint(buyer.address, BALANCE_MICRO_USDC)
        question = {"model": "loa-demo", "prompt": secrets.token_hex(4), "max_tokens": 16}
        asked = self._until_answered(INVOKE, question, {}, wanted=402)
        terms = decoded({name.upper(): value for name, value in asked.headers.items()}["PAYMENT-REQUIRED"])
        header = buyer.v2_header(terms)
        paid = self._until_answered(INVOKE, question, {"PAYMENT-SIGNATURE": header}, wanted=200)
        amount = int(terms["accepts"][0]["amount"])
        self.by_wallet.append(Bought(_id_of(paid), amount, time.monotonic() - began))

    def pay_by_key(self) -> None:
        """One call by API key under a key of the client's choice."""
        began = time.monotonic()
        question = _chat(max_tokens=16)
        headers = {"Authorization": f"Bearer {self.api_key}", "Idempotency-Key": secrets.token_hex(16)}
        paid = self._until_answered(CHAT, question, headers, wanted=200)
        self.by_key.append(Bought(_id_of(paid), 0, time.monotonic() - began))

    def stream_by_key(self) -> None:
        """One streamed answer, of a few seconds, by API key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        paid = self._until_answered(CHAT, _chat(max_tokens=STREAM_TOKENS) | {"stream": True}, headers, wanted=200)
        self.streams.append(paid.body)

    @contextmanager
    def in_a_stream(self, port: int) -> Iterator[None]:
        """A stream from this very process has begun, and is whole when the block ends."""
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        body = _chat(max_tokens=2 * STREAM_TOKENS) | {"stream": True}
        try:
            line.request("POST", CHAT, json.dumps(body), headers)
            response = line.getresponse()
            assert response.status == 200, response.read()
            first = response.read1(200)
            yield
            self.streams.append(first + response.read())
        finally:
            line.close()

    def run(self, buy: Callable[[], None]) -> None:
        """Buy again and again until it is over."""
        while not self.is_over.is_set():
            buy()
            time.sleep(PAUSE_SECONDS)

    def require_no_failure(self) -> None:
        """Raise what a client has met that it may not meet."""
        for one in self.running:
            if one.done():
                one.result()

    def await_more(self, count: int = 2) -> None:
        """Until each kind of client bought so many more."""
        kinds: tuple[list[Any], ...] = (self.by_wallet, self.by_key, self.streams)
        wanted = [len(kind) + count for kind in kinds]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(len(kind) < least for kind, least in zip(kinds, wanted, strict=True)):
            self.require_no_failure()
            assert time.monotonic() < deadline, self.answers
            time.sleep(0.1)

    def _until_answered(self, path: str, body: dict[str, Any], headers: dict[str, str], *, wanted: int) -> Answer:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = LiveSite(port=self.port).ask("POST", path, body, headers)
            except (OSError, http.client.HTTPException):
                self.cut_off += 1
            else:
                self._note(answer)
                if answer.status == wanted:
                    return answer
                assert answer.status == 503, (answer.status, answer.body[:500])
            assert time.monotonic() < deadline, self.answers
            time.sleep(PAUSE_SECONDS)

    def _note(self, answer: Answer) -> None:
        code = answer.json().get("code", "") if answer.status >= 400 else ""
        self.answers[f"{answer.status} {code}".strip()] += 1
        names = {name.lower() for name in answer.headers}
        if answer.status >= 500 and (answer.status != 503 or not code or "retry-after" not in names):
            self.undocumented.append(f"{answer.status} {answer.body[:200]!r}")


def _chat(*, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {secrets.token_hex(4)}"}]
    return {"model": "loa-demo", "max_tokens": max_tokens, "messages": messages}


def _id_of(answer: Answer) -> str:
    return {name.lower(): value for name, value in answer.headers.items()}["loa-payment-id"]


@contextmanager
def shopping(shoppers: Shoppers, *, wallets: int) -> Iterator[Shoppers]:
    """So many wallets, one caller by key and two streams, until the block ends; then all they began is answered."""
    jobs = [shoppers.pay_by_wallet] * wallets + [shoppers.pay_by_key, shoppers.stream_by_key, shoppers.stream_by_key]
    with ThreadPoolExecutor(len(jobs)) as pool:
        shoppers.running = [pool.submit(shoppers.run, job) for job in jobs]
        try:
            yield shoppers
        finally:
            shoppers.is_over.set()
    shoppers.require_no_failure()
