"""Relayer, worker, facilitator and Redis are killed in turn under two hundred payments.

Everything is settled or refunded, nothing twice, and the comparison of chain and books finds no difference. A run takes
two minutes: marked `integration`. KILL_PAYMENTS changes the number.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.conf import settings as site
from django.db import connection
from eth_account import Account

from loa_site.local import binaries, ports
from loa_site.local.redis import Redis
from tests.attacks.score import TRANSFER, require_balanced_books
from tests.faults.facilitator_proxy import FacilitatorProxy
from tests.faults.honest_facilitator import HonestFacilitator
from tests.journeys.live_site import LiveSite
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain
from x402.models import Payment, PaymentState

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True),
]

PAYMENTS = int(os.environ.get("KILL_PAYMENTS", "200"))
WALLETS, AT_ONCE = 20, 5
KILL_EVERY_SECONDS = 0.5
GIVE_UP_SECONDS = 150
FACILITATORS = "x402.facilitators.remote.RemoteFacilitator,x402.facilitators.direct.DirectFacilitator"
REPORT = binaries.ROOT / ".loa" / "reports" / "kill.json"
FINAL = [PaymentState.SERVED, PaymentState.CREDITED, PaymentState.REFUNDED, PaymentState.DEAD]


@dataclass(slots=True)
class Stack:
    """What is killed: two web processes that settle, a worker, a facilitator elsewhere, and Redis."""

    sites: list[LiveSite]
    worker: "Worker"
    proxy: FacilitatorProxy
    redis: Redis

    def kill_relayer(self) -> None:
        """The process that holds the relayer's key, or writes with it next."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT holder FROM x402_relayer ORDER BY lease_until DESC NULLS LAST LIMIT 1")
            holder = cursor.fetchone()
        pid = int(holder[0].split(":")[1]) if holder and holder[0] else -1
        for one in self.sites:
            if one.process is not None and _group_of(pid) == one.process.pid:
                one.kill()
                one.start()
                return
        self.sites[0].kill()
        self.sites[0].start()

    def kill_worker(self) -> None:
        self.worker.kill()
        self.worker.start()

    def kill_facilitator(self) -> None:
        self.proxy.mode = "cut"
        threading.Event().wait(0.3)
        self.proxy.refuse()
        threading.Event().wait(1.5)
        self.proxy.listen()

    def kill_redis(self) -> None:
        if self.redis.record is not None:
            os.kill(self.redis.record.pid, signal.SIGKILL)
        threading.Event().wait(1.0)
        self.redis.start()


@dataclass(slots=True)
class Worker:
    """A Celery worker with its clock inside."""

    variables: dict[str, str]
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "loa_site.celery", "worker", "--beat", "--without-mingle"]
        command += ["--concurrency", "1", "--queues", "settlement,default", "-s", str(self.folder / "beat")]
        with (self.folder / "worker.log").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=binaries.ROOT,
                env=os.environ | self.variables,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid) if pid > 0 else -1
    except ProcessLookupError:
        return -1


@contextmanager
def running_stack(folder: Path, chain: LocalChain, *, pay_to: str) -> Iterator[Stack]:
    with ExitStack() as exits:
        redis = Redis(folder / "redis", ports.free_port())
        redis.start()
        exits.callback(redis.stop)
        honest = exits.enter_context(HonestFacilitator(chain))
        proxy = exits.enter_context(FacilitatorProxy(honest.url))
        variables = {
            "REDIS_URL": redis.url,
            "CELERY_BROKER_URL": redis.url,
            "LOA_PAY_TO": pay_to,
            "LOA_FACILITATORS": FACILITATORS,
            "LOA_FACILITATOR_URL": proxy.url,
            "LOA_FACILITATOR_TIMEOUT_SECONDS": "5",
            "LOA_FACILITATOR_HANDOVER_SECONDS": "2",
            "LOA_BREAKER_HALF_OPEN_SECONDS": "3",
            "LOA_SERVING_LEASE_SECONDS": "4",
            "LOA_WAIT_SECONDS": "8",
            "DJANGO_SETTINGS_MODULE": "tests.attacks.shop_settings",
        }
        sites = [exits.enter_context(LiveSite(dict(variables))) for _ in range(2)]
        worker = Worker(variables, folder)
        worker.start()
        exits.callback(worker.kill)
        yield Stack(sites, worker, proxy, redis)


def test_nothing_is_lost_or_doubled_when_each_part_is_killed_under_two_hundred_payments(tmp_path: Path) -> None:
    chain = LocalChain(site.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    pay_to = Account.from_key("0x" + secrets.token_hex(32)).address
    buyers = [Buyer("0x" + secrets.token_hex(32)) for _ in range(WALLETS)]
    for buyer in buyers:
        chain.mint(buyer.address, 100_000_000)

    started = monotonic()
    with running_stack(tmp_path, chain, pay_to=pay_to) as stack:
        answers, killed = _pay_while_killing(stack, buyers)
        _come_to_rest(buyers)
        reconciled = _reconcile(stack.sites[0].variables)

    figures = _figures(chain, buyers, pay_to=pay_to) | {
        "answers": answers,
        "killed": killed,
        "differences": reconciled["differences"],
        "seconds": round(monotonic() - started, 1),
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({"suite": "kill", "figures": figures}, indent=2) + "\n")
    print(json.dumps(figures))
    assert set(killed) == {"relayer", "worker", "facilitator", "redis"}
    assert figures["unfinished"] == 0
    assert figures["transfers"] == figures["settled_rows"]
    assert figures["paid_and_credited_in_full"] == 0
    assert figures["treasury_micro_usdc"] == figures["charged_micro_usdc"] + figures["notes_micro_usdc"]
    assert reconciled["ok"] is True, reconciled["differences"]
    require_balanced_books()


def _pay_while_killing(stack: Stack, buyers: list[Buyer]) -> tuple[dict[str, int], dict[str, int]]:
    done = threading.Event()
    killed: Counter[str] = Counter()
    turns: list[tuple[str, Callable[[], None]]] = [
        ("facilitator", stack.kill_facilitator),
        ("worker", stack.kill_worker),
        ("redis", stack.kill_redis),
        ("relayer", stack.kill_relayer),
    ]

    def kill_in_turn() -> None:
        turn = 0
        while not done.wait(KILL_EVERY_SECONDS):
            name, kill = turns[turn % len(turns)]
            kill()
            killed[name] += 1
            turn += 1
        connection.close()

    killer = threading.Thread(target=kill_in_turn)
    killer.start()
    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            work = [(number, buyers[number % WALLETS]) for number in range(PAYMENTS)]
            answers = Counter(threads.map(lambda one: _pay(stack, one[0], one[1]), work))
    finally:
        done.set()
        killer.join()
    return {str(status): count for status, count in sorted(answers.items())}, dict(killed)


def _pay(stack: Stack, number: int, buyer: Buyer) -> int:
    """Ask for terms and pay, sending the same payload again until there is an answer; its status."""
    path, deadline = f"/item/{number}", monotonic() + GIVE_UP_SECONDS
    header: dict[str, str] = {}
    turn = number
    while monotonic() < deadline:
        turn += 1
        try:
            answer = stack.sites[turn % 2].ask("GET", path, headers=header, timeout_seconds=20)
        except (OSError, HTTPException):
            threading.Event().wait(0.3)
            continue
        if answer.status == 402 and not header:
            terms = {name.upper(): value for name, value in answer.headers.items()}["PAYMENT-REQUIRED"]
            header = {"PAYMENT-SIGNATURE": buyer.v2_header(decoded(terms))}
        elif answer.status in (200, 402, 409, 410, 502):
            return answer.status
        else:
            threading.Event().wait(0.5)
    return 0


def _come_to_rest(buyers: list[Buyer]) -> None:
    """Wait until the worker has moved everything that was abandoned to its end."""
    wallets = [buyer.address.lower() for buyer in buyers]
    deadline = monotonic() + 120
    while Payment.objects.filter(payer__in=wallets).exclude(state__in=FINAL).exists() and monotonic() < deadline:
        threading.Event().wait(1.0)


def _reconcile(variables: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "manage.py", "reconcile", "--json"],
        cwd=binaries.ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report


def _figures(chain: LocalChain, buyers: list[Buyer], *, pay_to: str) -> dict[str, Any]:
    """What happened, by the chain and by the rows."""
    wallets = [buyer.address.lower() for buyer in buyers]
    rows = Payment.objects.filter(payer__in=wallets)
    topic = "0x" + pay_to[2:].lower().rjust(64, "0")
    transfers = chain.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": [TRANSFER, None, topic]})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(amount), 0), count(*) FILTER (WHERE kind = 'owed') FROM billing.credit_note"
            " WHERE wallet = ANY(%s)",
            [wallets],
        )
        notes, owed = cursor.fetchone()
    paid = rows.filter(block_number__isnull=False)
    served = rows.filter(state=PaymentState.SERVED)
    return {
        "payments": rows.count(),
        "by_state": dict(Counter(rows.values_list("state", flat=True))),
        "unfinished": rows.exclude(state__in=FINAL).count(),
        "transfers": len(transfers),
        "settled_rows": paid.count(),
        "treasury_micro_usdc": chain.balance_of(pay_to),
        "charged_micro_usdc": sum(row.charged_micro_usdc or 0 for row in served),
        "notes_micro_usdc": int(notes),
        "owed_notes": owed,
        "paid_and_credited_in_full": served.filter(charged_micro_usdc=0).count(),
    }
