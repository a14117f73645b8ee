"""A replica is promoted while payments are taken (rule R10): noticed without a restart, matched with the chain."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as settings_of_django
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from eth_account import Account

from billing.checks import commits_outlive_a_failover
from billing.domain import accounts
from billing.domain.errors import RecoveryInProgress
from billing.selectors.balances import balance_of
from billing.selectors.credit_notes import spendable_credit_of
from billing.services import recovery, refunds
from billing.services.verification import verify_ledger
from loa_site.health import parts
from tests.factories import ledger
from tests.factories.own_ledger import own_ledger_of
from tests.factories.postgres_pair import PostgresPair
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from x402.chain import network_settings
from x402.chain.transactions import Signer
from x402.models import ChainTransaction, Payment
from x402.services import settler
from x402.tasks import settle_due, sweep_payments

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

INVOKE = "/api/v1/x402/invoke"
QUESTION = {"model": "loa-demo", "prompt": "What survives a failover?", "max_tokens": 64}
PAYERS = 2


@dataclass
class Load:
    """Payers that pay again and again until they are stopped; what each call came to."""

    new_buyer: Callable[[int], Buyer]
    is_over: threading.Event = field(default_factory=threading.Event)
    exchanges: list["Exchange"] = field(default_factory=list)

    def pay(self) -> None:
        while not self.is_over.is_set():
            self.exchanges.append(pay_once(self.new_buyer(1_000_000)))
            connections.close_all()
            if self.exchanges[-1].status != 200:
                time.sleep(0.2)

    def wait_for(self, condition: Callable[["Exchange"], bool], *, count: int = 1) -> None:
        deadline = time.monotonic() + 40
        while sum(map(condition, list(self.exchanges))) < count:
            assert time.monotonic() < deadline, [(one.status, one.code) for one in self.exchanges[-10:]]
            time.sleep(0.1)


@dataclass(frozen=True)
class Exchange:
    """One attempt to pay: by whom, with which header, and the last answer."""

    buyer: Buyer
    header: str
    status: int
    code: str
    amount: int = 0
    payment_id: str = ""

    @property
    def is_recovery(self) -> bool:
        return (self.status, self.code) == (503, "recovery_in_progress")


def pay_once(buyer: Buyer) -> Exchange:
    """Ask for terms and pay them; an answer without terms ends it."""
    buyer.client = Client(raise_request_exception=False)
    asked = buyer.ask(INVOKE, QUESTION)
    if asked.status_code != 402:
        return Exchange(buyer, "", asked.status_code, code_of(asked))
    terms = terms_of(asked)
    header = buyer.v2_header(terms)
    paid = buyer.ask(INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header})
    amount = int(terms["accepts"][0]["amount"])
    return Exchange(buyer, header, paid.status_code, code_of(paid), amount, paid.headers.get("Loa-Payment-Id", ""))


def status_in_the_end(paid: Exchange) -> int:
    """The last answer when the same payload is sent again while it is told to, as a conforming client does."""
    status, deadline = paid.status, time.monotonic() + 30
    while status == 503 and paid.header and time.monotonic() < deadline:
        status = paid.buyer.ask(INVOKE, QUESTION, {"PAYMENT-SIGNATURE": paid.header}).status_code
    return status


def code_of(response: Any) -> str:
    return str(response.json().get("code", "")) if response.status_code >= 400 else ""


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(settings_of_django.LOA["NETWORKS"][ledger.NETWORK]["rpc_urls"][0])


@pytest.fixture
def treasury(settings: LazySettings) -> Iterator[str]:
    """An address that only this test is paid at, so that its chain history is the test's alone."""
    address = "0x" + secrets.token_hex(20)
    network = {**settings.LOA["NETWORKS"][ledger.NETWORK], "pay_to": address}
    settings.LOA = {**settings.LOA, "NETWORKS": {ledger.NETWORK: network}}
    network_settings.networks.cache_clear()
    yield address
    network_settings.networks.cache_clear()


@pytest.fixture(autouse=True)
def _own_relayer(chain: LocalChain, settings: LazySettings) -> None:
    """A relayer that only this test's database knows: the run's own key must not have sent what no row tells."""
    account = Account.create()
    chain.call("anvil_setBalance", account.address, hex(10**20))
    settings.LOA = {**settings.LOA, "RELAYER_PRIVATE_KEY": "0x" + bytes(account.key).hex()}


@pytest.fixture
def new_buyer(chain: LocalChain) -> Callable[[int], Buyer]:
    """A wallet nobody used before, with as many MicroUSDC as asked for."""

    def make(balance_micro_usdc: int) -> Buyer:
        buyer = Buyer("0x" + secrets.token_hex(32))
        chain.mint(buyer.address, balance_micro_usdc)
        return buyer

    return make


@contextmanager
def load(new_buyer: Callable[[int], Buyer]) -> Iterator[Load]:
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


@contextmanager
def pair_in_use(folder: Path, settings: LazySettings, *, is_synchronous: bool) -> Iterator[PostgresPair]:
    """A pair of servers that the code under test uses, noted outside in a file."""
    pair = PostgresPair.start(folder, is_synchronous=is_synchronous)
    noted = str(folder / "timeline.json")
    try:
        assert settler.rest()  # what still works on the former database would note that one's past as this one's
        with own_ledger_of(pair.urls):
            settings.DATABASE_DIRECT_URL = pair.urls["DATABASE_DIRECT_URL"]
            settings.LOA = {**settings.LOA, "TIMELINE_FILE": noted, "WAIT_SECONDS": 5, "REDIS_URL": ""}
            yield pair
            assert settler.rest()  # before its database goes away
    finally:
        pair.stop()


def recovery_end(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("recovery_end", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


def readiness() -> tuple[int, str]:
    parts.forget()
    response = Client().get("/health")
    ready = Client().get("/readyz")
    assert response.json()["ready_for_billing"] == (ready.json()["status"] == "ready")
    return ready.status_code, ready.json()["status"]


def received_by(treasury: str) -> int:
    """What the ledger says the treasury has received. Units: MicroUSDC."""
    name = accounts.treasury(network=ledger.NETWORK, asset_address=ledger.ASSET, pay_to=treasury)
    return -balance_of(name, ledger.USDC)


def test_a_promoted_replica_that_lagged_is_noticed_and_matched_with_the_chain(
    tmp_path_factory: pytest.TempPathFactory, settings: LazySettings, chain: LocalChain, new_buyer, treasury: str
) -> None:
    with pair_in_use(tmp_path_factory.mktemp("lagging"), settings, is_synchronous=False) as pair:
        kept = [pay_once(new_buyer(1_000_000)) for _ in range(3)]
        assert [one.status for one in kept] == [200, 200, 200]
        pair.await_streaming()
        pair.cut_off_replica()
        with load(new_buyer) as running:
            running.wait_for(lambda one: one.status == 200, count=6)
            nonces_before = chain_nonce(chain)
            pair.fail_over()
            running.wait_for(lambda one: one.is_recovery, count=4)

        lost = [one for one in running.exchanges if one.status == 200]
        first_refusal = next(place for place, one in enumerate(running.exchanges) if one.is_recovery)
        assert {one.status for one in running.exchanges[first_refusal + PAYERS :]} == {503}
        assert recovery.open_recovery()["reasons"] == ["timeline_changed"]
        assert readiness() == (200, "recovery")
        replay = kept[0].buyer.ask(INVOKE, QUESTION, {"PAYMENT-SIGNATURE": kept[0].header})
        assert replay.status_code == 200, "what is booked is still served"
        assert Payment.objects.filter(pk__in=[one.payment_id for one in lost]).count() == 0
        with pytest.raises(RecoveryInProgress):
            refunds.start_refund(
                refund_id="ref_1", wallet=kept[0].buyer.address, denomination=ledger.USDC, amount_micro_usdc=1
            )

        looked = recovery_end("--dry-run")
        named = {one["from"] for one in looked["report"]["chain"][ledger.NETWORK]["missing_inflows"]}
        assert {one.buyer.address.lower() for one in lost} <= named
        assert received_by(treasury) < chain.balance_of(treasury)
        with pytest.raises(CommandError):
            recovery_end()

        ended = recovery_end("--by", "ada", "--reason", "the first machine burned")

        assert ended["ended"]
        assert ended["obstacles"] == []
        assert ended["report"]["chain"][ledger.NETWORK]["missing_inflows"] == []
        assert readiness() == (200, "ready")
        settle_what_was_stored()
        assert received_by(treasury) == chain.balance_of(treasury)
        for one in lost:
            assert spendable_credit_of(one.buyer.address.lower(), ledger.USDC) == one.amount
        assert status_in_the_end(pay_once(new_buyer(1_000_000))) == 200
        known = list(ChainTransaction.objects.order_by("nonce").values_list("nonce", flat=True))
        assert len(known) == len(set(known))
        assert known[-1] >= nonces_before
        assert verify_ledger().findings == ()


def settle_what_was_stored() -> None:
    """Let the periodic work finish what had a row: a transaction may be stored, and sent only after recovery."""
    deadline = time.monotonic() + 20
    while Payment.objects.filter(state__in=["settling", "settlement_unknown"]).exists():
        assert time.monotonic() < deadline
        settle_due()
        sweep_payments()
        time.sleep(0.3)


def chain_nonce(chain: LocalChain) -> int:
    relayer = Signer(settings_of_django.LOA["RELAYER_PRIVATE_KEY"])
    return int(chain.call("eth_getTransactionCount", relayer.address, "latest"), 16)


def test_a_promoted_synchronous_standby_has_everything_that_was_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, settings: LazySettings, chain: LocalChain, new_buyer, treasury: str
) -> None:
    with pair_in_use(tmp_path_factory.mktemp("synchronous"), settings, is_synchronous=True) as pair:
        settings.LOA = {**settings.LOA, "ENVIRONMENT": "production"}
        assert commits_outlive_a_failover() == []
        settings.LOA = {**settings.LOA, "ENVIRONMENT": "test"}
        with load(new_buyer) as running:
            running.wait_for(lambda one: one.status == 200, count=6)
            pair.fail_over()
            running.wait_for(lambda one: one.is_recovery, count=2)

        acknowledged = [one for one in running.exchanges if one.status == 200]
        states = dict(Payment.objects.values_list("id", "state"))
        assert {states.get(one.payment_id) for one in acknowledged} == {"served"}
        assert recovery.open_recovery()["reasons"] == ["timeline_changed"]

        ended = recovery_end("--by", "ada", "--reason", "planned")

        assert ended["ended"]
        assert ended["obstacles"] == []
        assert not any(outcome == "owed" for outcome in ended["report"]["chain"]["booked"].values())
        settle_what_was_stored()
        assert received_by(treasury) == chain.balance_of(treasury)
        assert status_in_the_end(pay_once(new_buyer(1_000_000))) == 200
        assert verify_ledger().findings == ()
