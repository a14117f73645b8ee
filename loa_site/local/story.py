"""The demo's story: a wallet pays for a call and gets its answer, a receipt and its change; the change pays the next.

It is told by a client over HTTP and by the chain itself, and ends with the ledger proving its own books. Every step
states what must hold; the first that does not ends the story.
"""

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from loa_site.local import binaries
from loa_site.local.paying_client import Answer, Json, PayingClient

INVOKE, QUOTE = "/api/v1/x402/invoke", "/api/v1/x402/quote"
FIRST_CALL = {"prompt": "What does it cost to say hello, and who keeps the change?", "max_tokens": 1000}
SECOND_CALL = {"prompt": "And what does the change buy?", "max_tokens": 120}
VERIFY_SECONDS = 120
PATIENCE_SECONDS = 30.0
CONSERVING = {"balances", "trial_balance", "credit_notes", "holds"}  # checks of the ledger that see lost or made money
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


class StepFailed(Exception):
    """Raised when what a step needs does not hold; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the story: whether every step held, and the facts of the last line."""

    held: bool
    facts: Json


@dataclass(slots=True)
class Story:
    """The running story: who tells it, to whom, and what it has found out."""

    client: PayingClient
    rpc_url: str
    say: Callable[[str], None]
    facts: Json = field(default_factory=dict)
    quote_token: str = ""
    received_micro_usdc: int = 0

    def price(self) -> None:
        """Ask what the call would cost, without paying."""
        answer = self.client.post(QUOTE, FIRST_CALL)
        require(answer, status=200, what="a quote")
        self.say(
            f"1. A quote: {dollars(answer.body['max_cost_micro_usdc'])} at most, until {answer.body['expires_at']}."
        )

    def pay(self) -> None:
        """Call without money, sign the terms of the 402, call again, get the answer."""
        unpaid = self.client.post(INVOKE, FIRST_CALL)
        require(unpaid, status=402, what="terms instead of an answer")
        [terms, *_] = unpaid.header_json("payment-required")["accepts"]
        self.quote_token = terms["extra"].get("quote", "")
        self.say(f"2. Without payment: 402, with terms for {dollars(terms['amount'])} on {terms['network']}.")
        began = time.monotonic()
        paid = self.client.post(INVOKE, FIRST_CALL, payment_signature=self.client.sign_payment(terms))
        require(paid, status=200, what="the answer that was paid for")
        settled = paid.header_json("payment-response")
        self.facts |= {
            "answer": paid.body["answer"],
            "payment_id": paid.body["payment_id"],
            "transaction": settled["transaction"],
            "charged": paid.body["charged_micro_usdc"],
        }
        self.say(f"3. Signed and sent again: answered in {time.monotonic() - began:.2f} s.")
        self.say(f"   “{short(paid.body['answer'])}”")
        self.say(f"   Payment {self.facts['payment_id']}, charged {dollars(self.facts['charged'])}.")

    def find_on_chain(self) -> None:
        """Ask the chain itself for the transaction."""
        receipt = rpc(self.rpc_url, "eth_getTransactionReceipt", self.facts["transaction"])
        if not receipt or receipt["status"] != "0x1":
            raise StepFailed(
                f"The chain does not know transaction {self.facts['transaction']} as successful: {receipt}"
            )
        payer = self.client.address[2:].lower().rjust(64, "0")
        transfers = [log for log in receipt["logs"] if log["topics"][0] == TRANSFER_TOPIC and payer in log["topics"][1]]
        self.received_micro_usdc = sum(int(log["data"], 16) for log in transfers)
        self.say(f"4. On the chain: {self.facts['transaction']}, block {int(receipt['blockNumber'], 16)}.")

    def read_receipt(self) -> None:
        """Get the signed receipt, which names the credit note."""
        path = f"/api/v1/payments/{self.facts['payment_id']}/receipt"
        receipt = self.client.get(path, loa_quote_token=self.quote_token)
        require(receipt, status=200, what="the receipt")
        notes = receipt.body["credit_notes"]
        if len(notes) != 1:
            raise StepFailed(f"The receipt should name one credit note, not {notes}.")
        self.facts["credit_note"] = notes[0]
        signer = receipt.body["signed"].get("signer", "")
        self.say(f"5. A receipt, signed by {signer}.")
        self.say(f"   Change: {dollars(notes[0]['amount_micro_usdc'])} as credit note {notes[0]['id']}.")

    def spend_credit(self) -> None:
        """Sign in with the wallet and let the credit note pay the second call."""
        require(self.client.sign_in(), status=200, what="a session for the wallet")
        before = self.spendable()
        second = self.client.post(INVOKE, SECOND_CALL, idempotency_key=secrets.token_urlsafe(24))
        require(second, status=200, what="an answer paid by the credit note")
        spent = before - self.spendable()
        if spent != int(second.body["charged_micro_usdc"]):
            raise StepFailed(f"{spent} MicroUSDC of credit are gone, {second.body['charged_micro_usdc']} were charged.")
        self.facts["credit_spent_on_second_call"] = str(spent)
        self.say(f"6. Signed in as {self.client.address}; the second call is paid from credit:")
        self.say(f"   {dollars(spent)} spent, {dollars(before - spent)} left; nothing moved on the chain.")

    def verify_ledger(self) -> None:
        """Let the ledger recompute itself from its postings."""
        result = subprocess.run(
            [sys.executable, "manage.py", "ledger_verify", "--json"],
            cwd=binaries.ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "loa_site.settings.development"},
            capture_output=True,
            text=True,
            timeout=VERIFY_SECONDS,
            check=False,
        )
        try:
            report = json.loads(result.stdout)
        except ValueError as error:
            raise StepFailed(f"ledger_verify did not report:\n{result.stdout}{result.stderr[-2000:]}") from error
        failed = {finding["check"] for finding in report["findings"]}
        given_back = int(self.facts["credit_note"]["amount_micro_usdc"])
        self.facts |= {
            "ledger_balanced": result.returncode == 0 and report["ok"],
            "conservation_ok": CONSERVING.isdisjoint(failed)
            and set(report["checks"]) >= CONSERVING
            and self.received_micro_usdc == int(self.facts["charged"]) + given_back,
        }
        if not (self.facts["ledger_balanced"] and self.facts["conservation_ok"]):
            raise StepFailed(f"The ledger does not hold: {json.dumps(report)[:2000]}")
        self.say(f"7. The ledger proves itself: {report['postings']} postings, every journal sums to zero, and")
        self.say("   what the chain moved is what was charged and what was given back, to the millionth of a dollar.")

    def spendable(self) -> int:
        """The wallet's credit. Units: MicroUSDC."""
        balance = self.client.get("/api/v1/credits/balance")
        require(balance, status=200, what="the wallet's credit")
        return int(balance.body["spendable_micro_usdc"])


def tell(run: Mapping[str, Any], *, say: Callable[[str], None]) -> Outcome:
    """Tell the story against a running stack; `run` is what `.loa/run.json` says."""
    story = Story(PayingClient(run["base_url"], run["payer_private_keys"][0]), run["rpc_url"], say)
    say("")
    steps = (story.price, story.pay, story.find_on_chain, story.read_receipt, story.spend_credit, story.verify_ledger)
    try:
        for step in steps:
            step()
    except StepFailed as failure:
        say(f"The story stops here. {failure}")
        return Outcome(held=False, facts=story.facts | {"failure": str(failure)})
    return Outcome(held=True, facts=story.facts)


def require(answer: Answer, *, status: int, what: str) -> None:
    """Raise StepFailed when the answer has another status."""
    if answer.status != status:
        raise StepFailed(f"Expected {what} ({status}), got {answer.status}: {str(answer.body)[:1000]}")


def rpc(url: str, method: str, *parameters: Any) -> Any:
    """Ask the chain."""
    site = urlsplit(url)
    kind = http.client.HTTPSConnection if site.scheme == "https" else http.client.HTTPConnection
    connection = kind(site.hostname or "", site.port, timeout=PATIENCE_SECONDS)
    try:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        connection.request("POST", site.path or "/", json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read()).get("result")
    finally:
        connection.close()


def dollars(micro_usdc: str | int) -> str:
    """An amount for people: six places, because a call may cost less than a cent."""
    whole, fraction = divmod(int(micro_usdc), 1_000_000)
    return f"${whole}.{fraction:06d}"


def short(text: str, length: int = 160) -> str:
    """The beginning of an answer."""
    return text if len(text) <= length else text[:length] + "…"
