"""Redis stops while people pay: every request is answered, and what waited is done soon after it is back.

REDIS_AWAY_SECONDS is how long it stays away: five in the suite, sixty by hand.
"""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings as site_settings

from billing.selectors.reports import conservation
from loa_site.local import ports
from loa_site.local.redis import Redis
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of, repair
from tests.factories import ledger, queues
from tests.journeys.live_site import LiveSite
from tests.workers.task_process import ROOT
from tests.workers.test_worker import wait_until, worker
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(400)]

AWAY_SECONDS = float(os.environ.get("REDIS_AWAY_SECONDS", "5"))
LETTERS = 3
DONE_WITHIN_SECONDS = 60
INVOKE = "/api/v1/x402/invoke"
QUESTION = {"model": "loa-demo", "prompt": "Is anybody there?", "max_tokens": 64}


@contextmanager
def beat(folder: Path, **variables: str) -> Iterator[None]:
    """Beat, which asks for the sweeps."""
    command = [sys.executable, "-m", "celery", "-A", "loa_site.celery", "beat", "--loglevel", "warning"]
    command += ["--schedule", str(folder / "schedule"), "--pidfile", ""]
    with (folder / "beat.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.kill()
        running.wait(10)


def pay(site: LiveSite, chain: LocalChain) -> int:
    """One call by a new buyer, from its price to its answer; the status."""
    buyer = Buyer("0x" + secrets.token_hex(32))
    chain.mint(buyer.address, 1_000_000)
    terms = site.ask("POST", INVOKE, QUESTION)
    header = {name.upper(): value for name, value in terms.headers.items()}["PAYMENT-REQUIRED"]
    paid = {"PAYMENT-SIGNATURE": buyer.v2_header(decoded(header))}
    return site.ask("POST", INVOKE, QUESTION, paid).status


def test_redis_that_stops_costs_no_answer_and_what_waited_is_done_when_it_is_back(tmp_path: Path) -> None:
    ledger.make_payment_table()
    queues.empty()
    server = Redis(tmp_path / "redis", ports.free_port())
    server.start()
    own = {"REDIS_URL": server.url, "CELERY_BROKER_URL": server.url}
    chain = LocalChain(site_settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    statuses: list[int] = []
    is_paying = threading.Event()
    is_paying.set()
    try:
        with LiveSite(own) as site, worker(tmp_path / "worker.log", **own), beat(tmp_path, **own):

            def keep_paying() -> None:
                while is_paying.is_set():
                    statuses.append(pay(site, chain))

            payers = [threading.Thread(target=keep_paying) for _ in range(2)]
            for payer in payers:
                payer.start()
            wait_until(lambda: len(statuses) >= 2)
            server.stop()
            before = len(statuses)
            calls = [deferred() for _ in range(LETTERS)]
            for call in calls:
                repair(call)
            queues.make_due()
            time.sleep(AWAY_SECONDS)
            wait_until(lambda: len(statuses) > before + 2)  # more than the two that were on their way
            server.start()
            returned = time.monotonic()
            while {letter_of(call).state for call in calls} != {"done"}:
                assert time.monotonic() - returned < DONE_WITHIN_SECONDS
                time.sleep(0.2)
            is_paying.clear()
            for payer in payers:
                payer.join()
    finally:
        is_paying.clear()
        server.stop()

    assert set(statuses) == {200}
    assert {tuple(ledger.notes_of(call.wallet)) for call in calls} == {(("change", 1_300, 1_300),)}
    assert conservation().is_conserved
