"""A release with an additive migration replaces the one before, process by process, while clients pay (faults 17, 90).

The order is that of `docs/how-to/deploy.md`: migrate, then web processes one by one (start the next, take the old one
out of rotation, SIGTERM), then workers and beat. Nothing is lost, each payment is answered and charged once, and nobody
meets another 5xx than the documented 503.
"""

import time
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from django.db import connection

from billing.domain import accounts
from billing.models import DeadLetter
from billing.selectors.balances import balance_of
from billing.services.verification import verify_ledger
from loa_site.celery import application
from loa_site.local.redis import Redis
from tests.deploy.conftest import FUNDS_MICRO_USD, Customer
from tests.deploy.fleet import Fleet, Running
from tests.deploy.releases import HEADER, NEXT, Release, next_release, this_release
from tests.deploy.rotation import Rotation
from tests.deploy.shoppers import Shoppers, shopping
from tests.factories import ledger
from tests.journeys.live_site import LiveSite
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

SETTLE_DOWN_SECONDS = 0.5  # between leaving the rotation and SIGTERM: connections on their way arrive
PATIENCE_SECONDS = 90


class Deployment:
    """Web processes behind a balancer, and workers; rolled from one release to the next."""

    def __init__(self, fleet: Fleet, rotation: Rotation, *, webs: int, queues: tuple[str, ...]) -> None:
        self._fleet, self._rotation, self._queues = fleet, rotation, queues
        self._web_count = webs
        self.webs: list[Running] = []
        self.others: list[Running] = []
        self.seconds_to_end: list[float] = []
        self.open_at_sigterm: list[int] = []

    def start(self, release: Release) -> None:
        """Everything of one release, in rotation once it is ready."""
        self.webs = [self._fleet.web(release) for _ in range(self._web_count)]
        self.others = self._start_others(release)
        for web in self.webs:
            web.await_ready()
            self._rotation.admit(web.port)

    def start_next(self, release: Release) -> list[Running]:
        """The next release's web processes, ready and in rotation beside the old ones."""
        fresh = [self._fleet.web(release) for _ in range(self._web_count)]
        for web in fresh:
            web.await_ready()
            self._rotation.admit(web.port)
        return fresh

    def end_old_webs(self, shoppers: Shoppers) -> None:
        """One after the other: out of the rotation, a moment, SIGTERM while it still answers, and its end."""
        for web in self.webs:
            with shoppers.in_a_stream(web.port):
                self._rotation.retire(web.port)
                time.sleep(SETTLE_DOWN_SECONDS)
                self.open_at_sigterm.append(1 + self._rotation.open_to(web.port))
                self.seconds_to_end.append(web.end())
            shoppers.await_more(1)

    def roll_others(self, release: Release) -> None:
        """Workers overlap; of beat there is one."""
        old, self.others = self.others, []
        for one in old:
            if one.name == "beat":
                self.seconds_to_end.append(one.end())
        self.others = self._start_others(release)
        for one in old:
            if one.name != "beat":
                self.seconds_to_end.append(one.end())

    def _start_others(self, release: Release) -> list[Running]:
        workers = [self._fleet.worker(release, queues=queues) for queues in self._queues]
        return [*workers, self._fleet.beat(release)]


def test_a_release_replaces_another_under_load_and_nothing_is_lost(
    tmp_path: Path,
    environment: dict[str, str],
    redis: Redis,
    chain: LocalChain,
    customer: Customer,
    treasury: str,
    is_long: bool,
    figures: dict[str, Any],
) -> None:
    old, new = this_release(), next_release(tmp_path)
    fleet, rotation = Fleet(tmp_path, environment), Rotation()
    queues = ("settlement", "default") if is_long else ("settlement,default",)
    deployment = Deployment(fleet, rotation, webs=4 if is_long else 2, queues=queues)
    shoppers = Shoppers(rotation.port, chain, customer.api_key)
    try:
        deployment.start(old)
        with shopping(shoppers, wallets=6 if is_long else 2):
            shoppers.await_more()
            new.migrate(environment)
            shoppers.await_more()
            fresh = deployment.start_next(new)
            shoppers.await_more()
            both_read_what_either_wrote(deployment.webs[0], fresh[0])
            deployment.end_old_webs(shoppers)
            deployment.roll_others(new)
            await_work_of(deployment.others, broker=redis.url)
            shoppers.await_more(20 if is_long else 2)
    finally:
        fleet.stop()
        rotation.close()

    assert (shoppers.undocumented, shoppers.cut_off) == ([], 0), shoppers.answers
    assert all(stream.rstrip().endswith(b"data: [DONE]") for stream in shoppers.streams)
    nothing_is_lost(shoppers, customer, chain=chain, treasury=treasury)
    slowest = max(one.seconds for one in (*shoppers.by_wallet, *shoppers.by_key))
    figures["rolling_deploy"] = {
        "answers": dict(sorted(shoppers.answers.items())),
        "paid_by_wallet": len(shoppers.by_wallet),
        "paid_by_key": len(shoppers.by_key),
        "streams": len(shoppers.streams),
        "processes_replaced": len(deployment.seconds_to_end),
        "slowest_end_seconds": round(max(deployment.seconds_to_end), 2),
        "slowest_payment_seconds": round(slowest, 2),
        "open_connections_at_sigterm": deployment.open_at_sigterm,
    }


def releases_that_wrote() -> set[str | None]:
    """What the new column says; read without the model, which does not know it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT release FROM x402_payment")
        return {row[0] for row in cursor.fetchall()}


def both_read_what_either_wrote(old: Running, new: Running) -> None:
    """Rows of either release are there, and each process answers for both."""
    assert releases_that_wrote() == {None, NEXT}
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT ON (release) id, coalesce(release, '-') FROM x402_payment ORDER BY release")
        rows = cursor.fetchall()
    for payment_id, release in rows:
        seen = [LiveSite(port=web.port).ask("GET", f"/api/v1/payments/{payment_id}") for web in (old, new)]
        assert [one.status for one in seen] == [200, 200]
        assert [one.headers.get(HEADER.lower(), one.headers.get(HEADER)) for one in seen] == [None, release]


def await_work_of(workers: list[Running], *, broker: str) -> None:
    """Until these workers, which are all there are, have done what is sent to either queue."""
    queues = redis_client.Redis.from_url(broker)
    with application.connection_for_write(broker) as connected:
        for task in ("x402.settle_due", "x402.sweep_payments"):
            application.send_task(task, connection=connected)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while queues.hlen("unacked") or any(queues.llen(name) for name in queues.scan_iter(_type="list")):
        assert time.monotonic() < deadline, "\n".join(one.last_words() for one in workers)
        time.sleep(0.1)
    queues.close()


def nothing_is_lost(shoppers: Shoppers, customer: Customer, *, chain: LocalChain, treasury: str) -> None:
    """Each payment has one row, served once and charged once; chain, ledger and key agree; nothing waits."""
    rows = dict(Payment.objects.values_list("id", "state"))
    ids = [one.payment_id for one in (*shoppers.by_wallet, *shoppers.by_key)]
    assert len(ids) == len(set(ids))
    assert len(rows) == len(ids) + len(shoppers.streams)
    assert {rows[one] for one in ids} == {"served"} == set(rows.values())
    paid = sum(one.amount for one in shoppers.by_wallet)
    name = accounts.treasury(network=ledger.NETWORK, asset_address=ledger.ASSET, pay_to=treasury)
    assert (chain.balance_of(treasury), -balance_of(name, ledger.USDC)) == (paid, paid)
    by_key = Payment.objects.filter(account_id=customer.account_id)
    charged = sum(by_key.values_list("charged_micro_usdc", flat=True))
    assert balance_of(accounts.available(customer.account_id), accounts.PREPAID) == FUNDS_MICRO_USD - charged
    assert balance_of(accounts.held(customer.account_id), accounts.PREPAID) == 0
    assert DeadLetter.objects.filter(state="pending").count() == 0
    assert verify_ledger().findings == ()
