"""How many paid streams one machine holds open at once, what each costs in memory, and what is lost at a restart.

    python -m tests.bench.streams --streams 500 --opened-per-second 12

Starts the site's own web server (two workers, threads) on a fresh database, opens that many paid streams by API key
over a slow demonstration model, reads them all, and compares what was charged with what arrived, to the token. Then it
opens them again and stops the server by SIGTERM in the middle. Prints its figures and writes
`.loa/reports/streams.json`.

Opened faster than the machine can, requests wait for one of the process's ten database connections, and after ten
seconds they are refused before they are paid (503 with Retry-After), or given back when they were (502). Clients come
again then; how often that was are figures, their waiting is no part of the first token's, and what was given back may
not be charged.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN_SECONDS = 2.0
OPENED_PER_SECOND = 12
MAX_TOKENS = 40
QUESTION = "Question {}"
LOG = ROOT / ".loa" / "reports" / "streams.log"
ONE_MORE = 999_999
TRIES_MAX = 20  # of one client that is told to come again
refused_first: list[int] = []  # streams that were told so, once for each time
given_back: list[int] = []  # streams that were paid, could not be begun and cost nothing
WARM_UP = 2  # streams before the first that is measured: each worker imports and connects at its first


def main() -> int:
    """Run both parts; 0 when everything was charged to the token and nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--opened-per-second", type=float, default=OPENED_PER_SECOND)
    wish = parser.parse_args()
    count, pace = wish.streams, wish.opened_per_second
    from loa_site.local import test_servers

    with test_servers.environment(reuse=True) as variables:
        os.environ |= variables
        django.setup()
        figures = {"streams": count, "opened_per_second": pace, **_measure(count, pace)}
    print(json.dumps(figures, indent=2))
    report = {
        "suite": "streams",
        "passed": int(bool(figures["all_charged_to_the_token"])) + int(bool(figures["none_lost_at_restart"])),
        "failed": int(not figures["all_charged_to_the_token"]) + int(not figures["none_lost_at_restart"]),
        "figures": figures,
    }
    path = ROOT / ".loa" / "reports" / "streams.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2))
    return 0 if report["failed"] == 0 else 1


def _measure(count: int, pace: float) -> dict[str, Any]:
    secret, account_id, funds = _funded_account(count)
    server = _Server()
    server.start()
    try:
        before = server.memory_kib()
        single = [asyncio.run(_first_token_seconds(server.port, secret)) for _ in range(WARM_UP + 1)]
        bodies, peak, first, beside = asyncio.run(_all_open(server, secret, count=count, pace=pace))
        charged = funds - _balance(account_id)
        expected = sum(_cost(number, body) for number, body in enumerate(bodies) if _ended_in_order(body))
        expected += beside.cost + sum(one.cost for one in single)
        drained = asyncio.run(_stopped(server, secret, count=count, pace=pace))
        after = funds - charged - _balance(account_id)
        return {
            "complete": sum(b"[DONE]" in body for body in bodies),
            "all_charged_to_the_token": charged == expected,
            "charged_micro_usd": charged,
            "told_to_come_again": len(refused_first),
            "given_back": len(given_back),
            "memory_per_stream_kib": round((peak - before) / count, 1),
            "memory_before_mib": round(before / 1024, 1),
            "memory_open_mib": round(peak / 1024, 1),
            "first_token_overhead_alone_ms": round(single[-1].seconds * 1000, 1),
            "first_token_overhead_with_all_open_ms": round(beside.seconds * 1000, 1),
            "first_token_overhead_while_opening_p50_ms": round(first[len(first) // 2] * 1000, 1),
            "first_token_overhead_while_opening_p99_ms": round(first[int(len(first) * 0.99)] * 1000, 1),
            "restart_ended_in_order": sum(_ended_in_order(body) for body in drained),
            "none_lost_at_restart": after == sum(_cost(number, body) for number, body in enumerate(drained)),
        }
    finally:
        server.kill()


class _Server:
    """The web server as the local stack starts it, over a slow model."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        model = {"demo": {"class": "inference.demo.upstream.DemoUpstream", "token_seconds": TOKEN_SECONDS}}
        limits = dict.fromkeys(["key", "wallet", "challenge", "sign_in"], 10**6)
        line = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--no-ws"]
        line += ["--port", str(self.port), "--workers", "2", "--blocking-threads", "352", "--backpressure", "704"]
        self.process = subprocess.Popen(
            [*line, "--http", "1", "--workers-kill-timeout", "30", "loa_site.wsgi:application"],
            cwd=ROOT,
            env=os.environ
            | {
                "LOA_UPSTREAMS": json.dumps(model),
                "LOA_RATE_LIMITS": json.dumps(limits),
                "DATABASE_POOL_SIZE": "10",
                "LOA_STREAM_DRAIN_SECONDS": "3",
            },
            stdout=subprocess.DEVNULL,
            stderr=LOG.open("wb"),
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(2)  # both workers load the application
                    return
            time.sleep(0.2)
        raise RuntimeError("the server did not start")

    def memory_kib(self) -> int:
        """Resident memory of the server and its workers that no other process shares."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sum(_private_kib(int(pid)) for pid in [str(self.process.pid), *children])

    def terminate(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


class _Single:
    def __init__(self, seconds: float, cost: int) -> None:
        self.seconds, self.cost = seconds, cost


def _private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


async def _stream(port: int, secret: str, number: int, *, max_tokens: int = MAX_TOKENS) -> tuple[bytes, float, Any]:
    """One stream until its first token: what came, how long that took, and the rest to read."""
    document = {"model": "loa-demo", "stream": True, "max_tokens": max_tokens}
    document |= {"messages": [{"role": "user", "content": QUESTION.format(number)}]}
    body = json.dumps(document).encode()
    for _ in range(TRIES_MAX):
        began = time.monotonic()
        got, line = await _asked(port, secret, body)
        if not got.startswith((b"HTTP/1.1 503", b"HTTP/1.1 502")):
            break
        (refused_first if got.startswith(b"HTTP/1.1 503") else given_back).append(number)
        line[1].close()
        await asyncio.sleep(int(got.lower().partition(b"retry-after: ")[2].partition(b"\r")[0] or b"1"))
    if got.count(b"data: ") < 2:
        raise RuntimeError(f"stream {number} was refused: {got[:400]!r}")
    return got, time.monotonic() - began - TOKEN_SECONDS, line


async def _asked(port: int, secret: str, body: bytes) -> tuple[bytes, Any]:
    """One request, read until its first token or until it is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    got = b""
    while got.count(b"data: ") < 2:
        part = await reader.read(65_536)
        if not part:
            break
        got += part
    return got, (reader, writer)


async def _rest(opened: tuple[bytes, float, Any]) -> bytes:
    got, _, (reader, writer) = opened
    while part := await reader.read(65_536):
        got += part
    writer.close()
    return got


async def _first_token_seconds(port: int, secret: str) -> _Single:
    opened = await _stream(port, secret, ONE_MORE, max_tokens=1)
    return _Single(opened[1], _cost(ONE_MORE, await _rest(opened)))


async def _open(port: int, secret: str, *, count: int, pace: float) -> list[tuple[bytes, float, Any]]:
    """All streams, begun one after the other: their clients would not come in one instant."""
    opened: list[tuple[bytes, float, Any]] = []
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(_stream(port, secret, number)))
        await asyncio.sleep(1 / pace)
    for task in tasks:
        opened.append(await task)
    return opened


async def _all_open(
    server: _Server, secret: str, *, count: int, pace: float
) -> tuple[list[bytes], int, list[float], _Single]:
    opened = await _open(server.port, secret, count=count, pace=pace)
    peak = server.memory_kib()
    beside = await _stream(server.port, secret, ONE_MORE)
    bodies = await asyncio.gather(*(_rest(one) for one in [*opened, beside]))
    first = sorted(one[1] for one in opened)
    return list(bodies[:-1]), peak, first, _Single(beside[1], _cost(ONE_MORE, bodies[-1]))


async def _stopped(server: _Server, secret: str, *, count: int, pace: float) -> list[bytes]:
    opened = await _open(server.port, secret, count=count, pace=pace)
    server.terminate()
    return list(await asyncio.gather(*(_rest(one) for one in opened)))


def _ended_in_order(body: bytes) -> bool:
    """Whether a stream was charged: one that lost its lease breaks off without an end, and the buyer owes nothing."""
    return b"[DONE]" in body or b"stream_interrupted" in body


def _cost(number: int, body: bytes) -> int:
    """What this stream should cost: its prompt and the tokens that came, at 1 and 2 MicroUSD."""
    from inference.domain.tokens import count_prompt_tokens, count_tokens

    text = ""
    for part in body.split(b"data: ")[1:]:
        start, end = part.find(b"{"), part.rfind(b"}")
        if start < 0 or b'"delta"' not in part:
            continue
        try:
            choice = json.loads(part[start : end + 1])["choices"][0]
        except (ValueError, IndexError):
            continue  # a chunk header of the wire lies inside this event; joined below
        text += choice["delta"].get("content") or ""
    return count_prompt_tokens([QUESTION.format(number)]) + 2 * count_tokens(text)


def _funded_account(count: int) -> tuple[str, str, int]:
    from accounts.models import Account
    from accounts.services import api_keys
    from accounts.services.api_keys import KeyTerms
    from tests.factories.ledger import give_prepaid

    account_id, funds = Account.objects.create().pk, 1_000_000 + count * 1_000
    _, secret = api_keys.create(account_id, created_by="0x" + "22" * 20, terms=KeyTerms(limit_per_minute=100_000))
    give_prepaid(account_id, funds)
    return secret, account_id, funds


def _balance(account_id: str) -> int:
    from billing.domain import accounts
    from billing.selectors.balances import balance_of

    return balance_of(accounts.available(account_id), accounts.PREPAID) + balance_of(
        accounts.held(account_id), accounts.PREPAID
    )


if __name__ == "__main__":
    raise SystemExit(main())
