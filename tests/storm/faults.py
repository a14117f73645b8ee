"""What each kind of fault does to the world, and how it is put right again."""

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
import redis

from loa_site.local import process
from loa_site.local.redis import Redis
from tests.faults.chaos_proxy import ChaosProxy
from tests.storm.plan import Fault
from tests.storm.redis_pair import client
from tests.storm.world import World

Heal = Callable[[], None]
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loa_app' AND random() < 0.5"
LEFT_BYTES = 4096


@dataclass(slots=True)
class Faults:
    """Applies faults to a world, from the thread that owns it, and counts what was survived."""

    world: World
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    staff: list[threading.Thread] = field(default_factory=list)
    disproved: list[str] = field(default_factory=list)
    _is_reorganising: bool = False

    def apply(self, fault: Fault) -> Heal | None:
        """Let it happen; what puts it right later, if anything must."""
        act: Callable[[Fault], Heal | None] = getattr(self, f"_{fault.kind}")
        heal = act(fault)
        self.counts[fault.kind] += 1
        return heal

    def follow_sentinel(self) -> None:
        """Lead the ways to Redis to the server that the Sentinel names, as a proxy before Redis does."""
        port = self.world.redis.writable_port()
        for name in ("web-redis", "work-redis"):
            link = self.world.links[name]
            if port and link.target_port != port:
                link.target_port = port
                link.break_open()

    def _kill(self, fault: Fault) -> None:
        self.world.keeper.signal(fault.target, signal.SIGKILL)

    def _end(self, fault: Fault) -> None:
        self.world.keeper.signal(fault.target, signal.SIGTERM)

    def _pause(self, fault: Fault) -> Heal:
        name = fault.target
        self.world.keeper.signal(name, signal.SIGSTOP)
        return lambda: self.world.keeper.signal(name, signal.SIGCONT)

    def _clock(self, fault: Fault) -> None:
        """The process begins anew with a clock that is wrong by so many seconds."""
        name, offset = fault.target.split()
        self.world.keeper.replace(name, STORM_CLOCK=str(int(offset)))

    def _flush(self, _fault: Fault) -> None:
        port = self.world.redis.writable_port()
        with suppress(redis.RedisError):
            client(port).flushall()

    def _redis_full(self, _fault: Fault) -> Heal:
        port = self.world.redis.writable_port()

        def set_limit(limit: str) -> None:
            with suppress(redis.RedisError):
                client(port).config_set("maxmemory", limit)

        set_limit("1")
        return lambda: set_limit("0")

    def _redis_failover(self, _fault: Fault) -> Heal:
        killed: Redis = self.world.redis.kill_writable()
        if not self.world.redis.wait_for_promotion(killed):
            self.notes.append("the Sentinel promoted nothing in time")
        self.follow_sentinel()
        return killed.start

    def _terminate(self, _fault: Fault) -> None:
        with suppress(psycopg.Error), self.world.postgres.primary.connect() as superuser:
            self.counts["backends terminated"] += superuser.execute(TERMINATE).rowcount

    def _postgres_restart(self, _fault: Fault) -> None:
        self.world.postgres.restart_primary(crashes=True)

    def _promote(self, _fault: Fault) -> Heal:
        """The standby takes over, whatever it was doing; later a new one follows it."""
        _go_on(self.world.postgres.replica.record)
        try:
            self.world.postgres.fail_over()
        except psycopg.OperationalError:
            # It did not answer in time, and an operator starts the old server again.
            self.notes.append("a standby did not answer, and was not promoted")
            self.world.postgres.restart_primary(crashes=False)
            return lambda: None
        self.counts["promoted"] += 1
        folder = self.world.folder / "postgres" / f"standby-{self.counts['promote'] + 2}"
        return lambda: self.world.postgres.follow_anew(folder)

    def _pause_standby(self, _fault: Fault) -> Heal | None:
        return _stopped(self.world.postgres.replica.record)

    def _pause_chain(self, _fault: Fault) -> Heal | None:
        return _stopped(self.world.node.record)

    def _pause_redis(self, _fault: Fault) -> Heal | None:
        port = self.world.redis.writable_port()
        return _stopped(next(one.record for one in self.world.redis.servers if one.port == port))

    def _reorg(self, _fault: Fault) -> Heal:
        """From the heal on, what was mined in between has never been.

        What others had sent is offered again, as their own nodes would; our relayer must see to its own.
        """
        if self._is_reorganising:
            return lambda: None
        first = int(self.world.chain.call("eth_blockNumber"), 16) + 1
        snapshot = self.world.chain.call("evm_snapshot")
        self._is_reorganising = True

        def revert() -> None:
            self._is_reorganising = False
            lost = self._sent_by_others(since=first)
            if self.world.chain.call("evm_revert", snapshot) is not True:
                self.notes.append("the chain refused to go back")
            for raw in lost:
                with suppress(RuntimeError):
                    self.world.chain.call("eth_sendRawTransaction", raw)

        return revert

    def _sent_by_others(self, *, since: int) -> list[str]:
        """Transactions that are mined from this block on and are not our relayer's, as raw bytes."""
        chain, raws = self.world.chain, []
        for number in range(since, int(chain.call("eth_blockNumber"), 16) + 1):
            for one in chain.call("eth_getBlockByNumber", hex(number), True)["transactions"]:
                if one["from"].lower() != self.world.relayer.address.lower():
                    raws.append(chain.call("eth_getRawTransactionByHash", one["hash"]))
        return raws

    def _staff(self, fault: Fault) -> None:
        """Somebody of staff runs a command in the middle of it all; what it says counts where it got an answer."""
        self.staff.append(threading.Thread(target=self._run_command, args=(fault.target,), daemon=True))
        self.staff[-1].start()

    def _run_command(self, name: str) -> None:
        decides = ("--all", "--by", "storm", "--reason", "the storm says so")
        said = self.world.manage(name, *(decides if name == "dlq_retry" else ()))
        self.counts[f"{name} {'without an answer' if 'error' in said else 'answered'}"] += 1
        if name == "ledger_verify" and said.get("ok") is False:
            self.disproved.append(str(said.get("findings")))

    def _trouble(self, fault: Fault) -> Heal:
        name, trouble = fault.target.split()
        link = self.world.links[name]
        _disturb(link, trouble)
        self.counts[f"link {trouble}"] += 1
        return link.mend

    def _disk_full(self, _fault: Fault) -> Heal:
        """Fill the disk of the database, where it has one of its own."""
        disk = self.world.disk
        if disk is None:
            self.notes.append("no disk of its own for the database: not filled")
            self.counts["disk_full"] -= 1
            return lambda: None
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - LEFT_BYTES))

        def make_room() -> None:
            filler.unlink(missing_ok=True)
            record = self.world.postgres.primary.record
            if record is None or not record.is_running():
                self.notes.append("the full disk ended the database server")
                self.world.postgres.restart_primary(crashes=False)

        return make_room


def _go_on(record: process.Record | None) -> None:
    if record is not None:
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGCONT)


def _stopped(record: process.Record | None) -> Heal | None:
    """Stop a server that leads a group of its own; what lets it go on."""
    if record is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGSTOP)

    return lambda: _go_on(record)


def _disturb(link: ChaosProxy, trouble: str) -> None:
    if trouble == "delay":
        link.delay_seconds = 0.25
    elif trouble == "cut":
        link.cut()
    elif trouble == "half_close":
        link.half_close()
    elif trouble == "silence":
        link.is_held = True
    else:
        link.is_garbled = True
