"""SIGTERM, SIGKILL and a lost reply while paid answers are being streamed by the real web server."""

import http.client
import json
import os
import secrets
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import Account
from accounts.services import api_keys
from billing.domain import accounts
from billing.selectors.balances import balance_of
from inference.domain.tokens import count_prompt_tokens, count_tokens
from tests.factories.ledger import give_prepaid
from tests.journeys.live_site import LiveSite
from x402.models import Payment
from x402.services.sweeps import sweep_payments

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.journey, pytest.mark.slow]

FUNDS = 1_000_000
SLOW_MODEL = {"demo": {"class": "inference.demo.upstream.DemoUpstream", "token_seconds": 0.05}}
SLOWLY = {"LOA_UPSTREAMS": json.dumps(SLOW_MODEL), "LOA_SERVING_LEASE_SECONDS": "3", "WEB_THREADS": "24"}


class Funded:
    """An account with money and a key."""

    def __init__(self) -> None:
        self.id = Account.objects.create().pk
        _, self.secret = api_keys.create(self.id, created_by="0x" + "22" * 20)
        give_prepaid(self.id, FUNDS)

    @property
    def charged(self) -> int:
        return FUNDS - balance_of(accounts.available(self.id), accounts.PREPAID)

    @property
    def held(self) -> int:
        return balance_of(accounts.held(self.id), accounts.PREPAID)

    @property
    def states(self) -> set[str]:
        return set(Payment.objects.filter(account_id=self.id).values_list("state", flat=True))


def stream(site: LiveSite, account: Funded, number: int, started: threading.Barrier | None = None) -> bytes:
    """One streamed answer as far as it came; `started` is passed after its first bytes."""
    body = {"model": "loa-demo", "stream": True, "max_tokens": 200}
    body |= {"messages": [{"role": "user", "content": f"Question {number}"}]}
    line = http.client.HTTPConnection("127.0.0.1", site.port, timeout=40)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {account.secret}"}
    line.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = line.getresponse()
    assert response.status == 200, response.read()
    got = response.read1(200)
    if started is not None:
        started.wait(30)
    try:
        while part := response.read1(65_536):
            got += part
    except (http.client.HTTPException, OSError):
        pass  # the server was killed; what came is what the test looks at
    line.close()
    return got


def documents(body: bytes) -> list[Any]:
    return [json.loads(part[6:]) for part in body.split(b"\n\n") if part.startswith(b"data: {") and part.endswith(b"}")]


def text_of(body: bytes) -> str:
    choices = [one["choices"][0] for one in documents(body) if one.get("choices")]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize(("drain_seconds", "ending"), [("20", b"data: [DONE]"), ("0", b"stream_interrupted")])
def test_streams_at_sigterm_end_in_order_and_all_are_charged_to_the_token(drain_seconds: str, ending: bytes) -> None:
    account, count = Funded(), 10
    started = threading.Barrier(count + 1)
    with LiveSite(SLOWLY | {"LOA_STREAM_DRAIN_SECONDS": drain_seconds}) as site, ThreadPoolExecutor(count) as pool:
        assert site.process is not None
        running = [pool.submit(stream, site, account, number, started) for number in range(count)]
        started.wait(30)
        os.kill(site.process.pid, signal.SIGTERM)
        bodies = [one.result(40) for one in running]

    assert all(ending in body for body in bodies)
    cost = sum(count_prompt_tokens([f"Question {number}"]) for number in range(count))
    cost += 2 * sum(count_tokens(text_of(body)) for body in bodies)
    assert (account.charged, account.held, account.states) == (cost, 0, {"served"})
    call_command("ledger_verify")


def test_streams_of_a_killed_server_cost_nothing() -> None:
    account, count = Funded(), 5
    started = threading.Barrier(count + 1)
    with LiveSite(SLOWLY) as site, ThreadPoolExecutor(count) as pool:
        running = [pool.submit(stream, site, account, number, started) for number in range(count)]
        started.wait(30)
        site.kill()
        bodies = [one.result(40) for one in running]
    time.sleep(3.5)  # the leases of the dead process end

    sweep_payments()

    assert all(b"[DONE]" not in body for body in bodies)
    assert (account.charged, account.held, account.states) == (0, 0, {"credited"})
    call_command("ledger_verify")


def test_a_lost_reply_is_charged_once_while_the_first_is_in_flight() -> None:
    """The client breaks off and asks again at once, as the stock one does; the first is still being made."""
    account = Funded()
    body = {"model": "loa-demo", "max_tokens": 40, "messages": [{"role": "user", "content": "Again"}]}
    slow = {"demo": {"class": "tests.journeys.slow_upstream.SlowUpstream", "seconds": 1.5}}
    with LiveSite(SLOWLY | {"LOA_UPSTREAMS": json.dumps(slow)}) as site:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {account.secret}"}
        line = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
        line.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        time.sleep(0.5)
        line.close()  # the reply is lost

        again = site.ask("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {account.secret}"})

    assert again.status == 200, again.body
    [payment] = Payment.objects.filter(account_id=account.id)
    assert again.json()["loa"]["payment_id"] == payment.pk
    assert account.charged == payment.charged_micro_usdc


def test_a_lost_reply_with_an_idempotency_key_is_charged_once_at_any_time() -> None:
    account, key = Funded(), {"Idempotency-Key": secrets.token_hex(16)}
    body = {"model": "loa-demo", "max_tokens": 40, "messages": [{"role": "user", "content": "Once more"}]}
    with LiveSite(SLOWLY) as site:
        headers = key | {"Authorization": f"Bearer {account.secret}"}
        first = site.ask("POST", "/v1/chat/completions", body, headers)
        again = site.ask("POST", "/v1/chat/completions", body, headers)

    assert (again.status, again.body) == (200, first.body)
    assert Payment.objects.filter(account_id=account.id).count() == 1
