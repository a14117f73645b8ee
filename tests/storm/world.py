"""The site under storm and everything it stands on: servers, the ways between them, and processes.

Between all of them is a way that can be disturbed (`links`). What a storm itself asks, it asks directly.
"""

import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from eth_account import Account

from loa_site.local import binaries, ports, wallets
from loa_site.local.chain import Chain
from loa_site.local.errors import LocalStackError
from tests.factories.postgres_pair import PostgresPair
from tests.faults.chaos_proxy import ChaosProxy
from tests.faults.honest_facilitator import HonestFacilitator
from tests.journeys.live_site import LiveSite
from tests.storm.keeper import Keeper, commands
from tests.storm.plan import Shape
from tests.storm.redis_pair import RedisPair
from tests.x402.chain_tools import LocalChain

BLOCK_SECONDS = 2
ETHER = 10**18
FLOAT_MICRO_USDC = 1_000_000_000
READY_SECONDS = 120.0
COMMAND_SECONDS = 120.0
DISK_MEGABYTES = 1_200
FACILITATORS = "x402.facilitators.remote.RemoteFacilitator,x402.facilitators.direct.DirectFacilitator"


@dataclass(slots=True)
class World:
    """Everything one storm runs on, below one folder. Use as a context manager, from one thread."""

    folder: Path
    shape: Shape
    postgres: PostgresPair = field(init=False)
    redis: RedisPair = field(init=False)
    node: Chain = field(init=False)
    chain: LocalChain = field(init=False)
    facilitator: HonestFacilitator = field(init=False)
    links: dict[str, ChaosProxy] = field(default_factory=dict)
    keeper: Keeper = field(default_factory=Keeper)
    disk: Path | None = None
    pay_to: str = field(default_factory=lambda: str(Account.create().address))
    relayer: Any = field(default_factory=Account.create)
    refunder: Any = field(default_factory=Account.create)
    variables: dict[str, str] = field(default_factory=dict)
    _desk: subprocess.Popen[str] | None = None
    _desk_lock: threading.Lock = field(default_factory=threading.Lock)
    _exits: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._start_servers()
            self._start_site()
            if not self.wait_until_ready(READY_SECONDS):
                raise LocalStackError(f"The site is not ready: {self.readiness()}", f"Its logs are in {self.folder}.")
            self.manage("ledger_verify")  # the desk is open before anything goes wrong
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def runs(self) -> Path:
        """Where each run of a paid view is written down."""
        return self.folder / "runs"

    @property
    def database_url(self) -> str:
        """The administrator's own way to the server that is written to."""
        return self.postgres.primary.url(self.postgres.database)

    def site(self, number: int) -> LiveSite:
        """A web process as payers reach it. Nobody here starts or kills it."""
        return LiveSite(port=self.links[f"payers-web-{number}"].port)

    def manage(self, *words: str) -> dict[str, Any]:
        """What a management command answers in JSON, past all disturbance; `error` says why there is no answer."""
        with self._desk_lock:
            if self._desk is None or self._desk.poll() is not None:
                self._desk = self._open_desk()
            desk = self._desk
            try:
                _write_line(desk, json.dumps(words))
                line = _read_line(desk)
            except (OSError, ValueError) as error:
                return {"error": f"{type(error).__name__}: {error}"}
            said: dict[str, Any] = json.loads(line) if line else {"error": "no answer in time"}
            if not line:
                desk.kill()
            return said

    def _open_desk(self) -> subprocess.Popen[str]:
        desk = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.storm.staff_desk"],
            cwd=binaries.ROOT,
            env=os.environ | self.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._exits.callback(desk.kill)
        return desk

    def is_in_recovery(self) -> bool:
        """Whether the database says that money stands still; False while it says nothing."""
        try:
            with psycopg.connect(self.database_url, connect_timeout=2) as connection:
                found = connection.execute("SELECT 1 FROM billing.recovery WHERE ended_at IS NULL").fetchone()
        except psycopg.Error:
            return False
        return found is not None

    def readiness(self) -> dict[str, tuple[int, str]]:
        """What each web process says of itself, asked directly."""
        said: dict[str, tuple[int, str]] = {}
        for number in range(1, self.shape.web + 1):
            name = f"web-{number}"
            try:
                link = self.links[f"payers-{name}"]
                answer = LiveSite(port=link.target_port).ask("GET", "/readyz", timeout_seconds=4)
                said[name] = (answer.status, str(answer.json().get("status", "")))
            except (OSError, HTTPException, ValueError):
                said[name] = (0, "silent")
        return said

    def wait_until_ready(self, seconds: float) -> bool:
        """Whether every web process answered that it is ready, in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.keeper.watch()
            if all(said == (200, "ready") for said in self.readiness().values()):
                return True
            time.sleep(0.3)
        return False

    def _start_servers(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs.touch()
        home = self.folder / "postgres"
        is_own_disk = self._mount(home)
        self.postgres = PostgresPair.start(home, is_synchronous=True)
        self._exits.callback(self.postgres_stop)
        self.disk = home if is_own_disk and (home / "primary" / "postgres").exists() else None
        self.redis = RedisPair(self.folder / "redis")
        self._exits.callback(self.redis.stop)
        self.redis.start()
        self.node = Chain(self.folder / "chain", ports.free_port(), block_seconds=BLOCK_SECONDS)
        self._exits.callback(self.node.stop)
        self.node.start()
        self.chain = LocalChain(self.node.url)
        for one in (self.relayer, self.refunder):
            self.chain.call("anvil_setBalance", one.address, hex(100 * ETHER))
        self.chain.mint(self.refunder.address, FLOAT_MICRO_USDC)
        self.facilitator = self._exits.enter_context(HonestFacilitator(self.chain, follows_pending=True))
        self.chain.call("anvil_setBalance", self.facilitator.address, hex(100 * ETHER))

    def _mount(self, home: Path) -> bool:
        """Give the database a small disk of its own, where this account may; whether it has one."""
        home.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=755", "tmpfs", str(home)]
        mount = shutil.which("mount")
        if os.geteuid() != 0 or mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        self._exits.callback(subprocess.run, ["umount", "-l", str(home)], capture_output=True, check=False)
        return True

    def postgres_stop(self) -> None:
        """End both servers, whichever they are now, and forget their data."""
        self.postgres.stop()

    def _start_site(self) -> None:
        redis_port = self.redis.writable_port()
        targets = {
            "web-postgres": self.postgres.primary.port,
            "work-postgres": self.postgres.primary.port,
            "web-redis": redis_port,
            "work-redis": redis_port,
            "web-chain": self.node.port,
            "work-chain": self.node.port,
            "facilitator": int(self.facilitator.url.rpartition(":")[2]),
        }
        web_ports = {f"web-{number}": ports.free_port() for number in range(1, self.shape.web + 1)}
        targets |= {f"payers-{name}": port for name, port in web_ports.items()}
        for name, port in targets.items():
            self.links[name] = ChaosProxy(port)
            self._exits.callback(self.links[name].close)
        self._exits.callback(self.keeper.stop)
        own = self._own_variables()
        self.variables = own | self._ways(
            self.postgres.primary.port, redis_port=redis_port, chain_port=self.node.port, machine="storm"
        )
        sides = {
            side: os.environ
            | own
            | self._ways(
                self.links[f"{side}-postgres"].port,
                redis_port=self.links[f"{side}-redis"].port,
                chain_port=self.links[f"{side}-chain"].port,
                machine=side,
            )
            for side in ("web", "work")
        }
        for command in commands(self.shape, self.folder, ports=web_ports, web=sides["web"], work=sides["work"]):
            self.keeper.start(command)

    def _ways(self, postgres_port: int, *, redis_port: int, chain_port: int, machine: str) -> dict[str, str]:
        """The variables that lead a process to its servers."""
        urls = {
            name: url.replace(f":{self.postgres.primary.port}/", f":{postgres_port}/")
            for name, url in self.postgres.urls.items()
        }
        redis_url = f"redis://{ports.HOST}:{redis_port}/0"
        return urls | {
            "REDIS_URL": redis_url,
            "CELERY_BROKER_URL": redis_url,
            "RPC_URL": f"http://{ports.HOST}:{chain_port}",
            "LOA_TIMELINE_FILE": str(self.folder / f"timeline-{machine}.json"),
        }

    def _own_variables(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.storm.settings",
            "DATABASE_POOL_SIZE": "8",
            "STORM_RUNS": str(self.runs),
            "LOA_PAY_TO": self.pay_to,
            "LOA_RELAYER_PRIVATE_KEY": "0x" + bytes(self.relayer.key).hex(),
            "LOA_REFUND_PRIVATE_KEY": "0x" + bytes(self.refunder.key).hex(),
            "LOA_QUOTE_KEYS": f"s1:{secrets.token_hex(32)}",
            "LOA_QUOTE_KEY_ACTIVE": "s1",
            "LOA_FACILITATORS": FACILITATORS,
            "LOA_FACILITATOR_URL": f"http://{ports.HOST}:{self.links['facilitator'].port}",
            "LOA_FACILITATOR_TIMEOUT_SECONDS": "6",
            "LOA_FACILITATOR_HANDOVER_SECONDS": "4",
            "LOA_BREAKER_HALF_OPEN_SECONDS": "3",
            "LOA_BREAKER_WINDOW_SECONDS": "10",
            "LOA_QUOTE_TTL_SECONDS": "90",
            "LOA_SERVING_LEASE_SECONDS": "5",
            "LOA_WAIT_SECONDS": "8",
            "LOA_REFUND_DUST_MICRO_USDC": "5000",
            "LOA_REFUND_FLOAT_LOW_MICRO_USDC": "1000000",
            "LOA_STREAM_DRAIN_SECONDS": "3",
            "LOA_BACKGROUND_WORK": "workers",
        }


def _write_line(desk: subprocess.Popen[str], line: str) -> None:
    if desk.stdin is None:
        raise ValueError("nobody listens at the desk")
    desk.stdin.write(line + "\n")
    desk.stdin.flush()


def _read_line(desk: subprocess.Popen[str]) -> str:
    """The next line that is an answer; empty when none comes in time. Whatever else a command prints is skipped."""
    if desk.stdout is None:
        raise ValueError("nobody speaks at the desk")
    deadline = time.monotonic() + COMMAND_SECONDS
    while (left := deadline - time.monotonic()) > 0 and select.select([desk.stdout], [], [], left)[0]:
        line = desk.stdout.readline()
        if not line or line.startswith("{"):
            return line
    return ""


def clean(folder: Path) -> None:
    """Remove what a storm left in its folder."""
    shutil.rmtree(folder, ignore_errors=True)


def stranger(number: int) -> str:
    """The private key of somebody who has gas and nothing else."""
    return wallets.wallet(f"storm stranger {number}").private_key
