"""Payers of a drill: one payment after another over HTTP, what each came to, and a load that never stops by itself."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.test import Client

from tests.x402.buyer import Buyer, decoded, terms_of

INVOKE = "/api/v1/x402/invoke"
QUESTION = {"model": "loa-demo", "prompt": "What survives a failover?", "max_tokens": 1024}
PAYERS = 2
PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.2

NewBuyer = Callable[[int], Buyer]


@dataclass(frozen=True)
class Exchange:
    """One attempt to pay: by whom, with which header, the last answer, and what the receipt says. Units: MicroUSDC."""

    buyer: Buyer
    header: str
    status: int
    code: str
    amount: int = 0
    payment_id: str = ""
    transaction: str = ""

    @property
    def is_recovery(self) -> bool:
        return (self.status, self.code) == (503, "recovery_in_progress")

    @property
    def wallet(self) -> str:
        return self.buyer.address.lower()

    @property
    def nonce(self) -> str:
        return str(decoded(self.header)["payload"]["authorization"]["nonce"])


def pay_once(buyer: Buyer) -> Exchange:
    """Ask for terms and pay them; an answer without terms ends it."""
    buyer.client = Client(raise_request_exception=False)
    asked = buyer.ask(INVOKE, QUESTION)
    if asked.status_code != 402:
        return Exchange(buyer, "", asked.status_code, code_of(asked))
    terms = terms_of(asked)
    header = buyer.v2_header(terms)
    return sent_again(Exchange(buyer, header, 503, "", int(terms["accepts"][0]["amount"])))


def sent_again(before: Exchange) -> Exchange:
    """The same payload once more, and what it is answered."""
    paid = before.buyer.ask(INVOKE, QUESTION, {"PAYMENT-SIGNATURE": before.header})
    receipt = decoded(paid["PAYMENT-RESPONSE"]) if paid.has_header("PAYMENT-RESPONSE") else {}
    return Exchange(
        before.buyer,
        before.header,
        paid.status_code,
        code_of(paid),
        before.amount,
        paid.headers.get("Loa-Payment-Id", ""),
        str(receipt.get("transaction", "")),
    )


def paid_in_the_end(buyer: Buyer) -> Exchange:
    """A payment as a conforming client makes it: a 503 is not the end, neither of asking nor of paying."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    tried = pay_once(buyer)
    while tried.status == 503 and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
        tried = sent_again(tried) if tried.header else pay_once(buyer)
    return tried


def code_of(response: Any) -> str:
    return str(response.json().get("code", "")) if response.status_code >= 400 else ""


@dataclass
class Load:
    """Payers that pay again and again until they are stopped; what each call came to."""

    new_buyer: NewBuyer
    is_over: threading.Event = field(default_factory=threading.Event)
    exchanges: list[Exchange] = field(default_factory=list)

    def pay(self) -> None:
        while not self.is_over.is_set():
            self.exchanges.append(pay_once(self.new_buyer(1_000_000)))
            connections.close_all()
            if self.exchanges[-1].status != 200:
                time.sleep(PAUSE_SECONDS)

    def wait_for(self, condition: Callable[[Exchange], bool], *, count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sum(map(condition, list(self.exchanges))) < count:
            assert time.monotonic() < deadline, [(one.status, one.code) for one in self.exchanges[-10:]]
            time.sleep(0.1)


@contextmanager
def load(new_buyer: NewBuyer) -> Iterator[Load]:
    """Two payers at once, until the block ends."""
    running = Load(new_buyer)
    payers = [threading.Thread(target=running.pay) for _ in range(PAYERS)]
    for payer in payers:
        payer.start()
    try:
        yield running
    finally:
        running.is_over.set()
        for payer in payers:
            payer.join()
        connections.close_all()
