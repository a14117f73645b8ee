"""The load: calls paid by API key, each caller with an account of its own, and calls paid on the chain.

A key's call reserves, serves and charges in the ledger like any other paid call and needs no block; so its rate is
what nodes, database and Redis hold. Keys are made by a child of the site's own, as `python -m tests.scale.load COUNT`.
"""

import http.client
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from loa_site.local import binaries
from tests.bench.load import Sender
from tests.suite_report import percentile

FUNDS_MICRO_USD = 1_000_000_000


@dataclass(slots=True)
class Answers:
    """What came of a window: latencies of the paid answers in seconds, and how often each other status came."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)

    def figures(self) -> dict[str, float | int]:
        """Throughput, percentiles, and what was not paid."""
        milliseconds = [latency * 1000 for latency in self.latencies] or [0.0]
        return {
            "paid": len(self.latencies),
            "per_second": round(len(self.latencies) / self.seconds, 1),
            **{f"p{percent}_ms": round(percentile(milliseconds, percent), 1) for percent in (50, 95, 99)},
            "refused": sum(self.others.values()),
        }


def made_keys(variables: Mapping[str, str], *, count: int) -> list[str]:
    """So many API keys with prepaid money, each of an account of its own."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.scale.load", str(count)],
        cwd=binaries.ROOT,
        env=os.environ | dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise RuntimeError(made.stderr[-2000:])
    keys: list[str] = json.loads(made.stdout.splitlines()[-1])
    return keys


def key_window(base_url: str, keys: Sequence[str], *, seconds: float) -> Answers:
    """Every key calls again as soon as it was answered, until the time is over."""

    def headers(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}", "Idempotency-Key": secrets.token_hex(8)}

    return window(base_url, [lambda own=key: headers(own) for key in keys], seconds=seconds)


def payment_window(base_url: str, payments: Sequence[Sequence[str]], *, seconds: float) -> Answers:
    """Each list is one caller's signed payments; a caller that has sent all of its own ends early."""
    left = [iter(own) for own in payments]
    callers = [lambda own=one: {"PAYMENT-SIGNATURE": next(own)} for one in left]
    return window(base_url, callers, seconds=seconds)


def window(base_url: str, callers: Sequence[Callable[[], dict[str, str]]], *, seconds: float) -> Answers:
    """All callers at once; an answer that comes after the time is over does not count."""
    answers, began = Answers(seconds), time.monotonic()
    deadline = began + seconds

    def call(headers: Callable[[], dict[str, str]]) -> None:
        sender = Sender(base_url)
        while (sent := time.monotonic()) < deadline:
            try:
                status, _ = sender.send(headers())
            except StopIteration:
                return
            except (OSError, http.client.HTTPException):
                sender, status = Sender(base_url), 0
            now = time.monotonic()
            if now > deadline:
                return
            if status == 200:
                answers.latencies.append(now - sent)
            else:
                answers.others[status] += 1

    threads = [threading.Thread(target=call, args=(one,), daemon=True) for one in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) + 5.0)
    return answers


def main(count: int) -> None:
    """Make keys and print them as JSON."""
    import django

    django.setup()
    from accounts.models import Account
    from accounts.services import api_keys
    from accounts.services.api_keys import KeyTerms
    from tests.factories.ledger import give_prepaid

    made = []
    for _ in range(count):
        account_id = Account.objects.create().pk
        _, secret = api_keys.create(account_id, created_by="0x" + "22" * 20, terms=KeyTerms(limit_per_minute=1_000_000))
        give_prepaid(account_id, FUNDS_MICRO_USD)
        made.append(secret)
    print(json.dumps(made))


if __name__ == "__main__":
    main(int(sys.argv[1]))
