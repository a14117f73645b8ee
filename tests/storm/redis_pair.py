"""A Redis, its replica and a Sentinel that promotes it when the first is gone; the embedded server is all three."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis

from loa_site.local import binaries, ports, process
from loa_site.local.redis import Redis

NAME = "storm"
CALL_SECONDS = 1.0
DOWN_AFTER_MILLISECONDS = 800
START_SECONDS = 20.0


def client(port: int) -> redis.Redis:
    """A client of one server that gives up soon."""
    return redis.Redis(host=ports.HOST, port=port, socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS)


@dataclass(slots=True)
class RedisPair:
    """Two servers under one Sentinel. Which of them is written to is the Sentinel's word."""

    folder: Path
    servers: list[Redis] = field(default_factory=list)
    sentinel_port: int = 0
    sentinel: process.Record | None = None

    def start(self) -> None:
        """Start all three; returns when the Sentinel knows both servers."""
        self.servers = [Redis(self.folder / name, ports.free_port()) for name in ("first", "second")]
        for server in self.servers:
            server.start()
        first, second = self.servers
        client(second.port).replicaof(ports.HOST, first.port)
        self.sentinel_port = ports.free_port()
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.sentinel_port}\nbind {ports.HOST}\ndir {self.folder}\n"
            f"sentinel monitor {NAME} {ports.HOST} {first.port} 1\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MILLISECONDS}\n"
            f"sentinel failover-timeout {NAME} 3000\n"
        )
        log = self.folder / "sentinel.log"
        arguments = [str(binaries.redis_server()), str(configuration), "--sentinel"]
        child, self.sentinel = process.start(process.Command("sentinel", arguments, log))
        process.wait_until(self._knows_both, process=child, log=log, seconds=START_SECONDS)

    def stop(self) -> None:
        """End all three."""
        records = [self.sentinel, *(server.record for server in self.servers)]
        process.stop_all([record for record in records if record is not None])

    def writable_port(self) -> int:
        """Where the Sentinel says that writing goes; 0 while it does not say."""
        try:
            address = client(self.sentinel_port).execute_command("SENTINEL", "get-master-addr-by-name", NAME)
        except redis.RedisError:
            return 0
        return int(address[1]) if address else 0

    def kill_writable(self) -> Redis:
        """Kill the server that is written to; the same, for `revive`."""
        port = self.writable_port()
        server = next((one for one in self.servers if one.port == port), self.servers[0])
        if server.record is not None:
            os.killpg(server.record.pid, signal.SIGKILL)
            process.stop(server.record)
        return server

    def wait_for_promotion(self, killed: Redis) -> bool:
        """Whether the Sentinel promoted the other one in time."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.writable_port() not in (0, killed.port):
                return True
            time.sleep(0.1)
        return False

    def _knows_both(self) -> bool:
        try:
            [known] = client(self.sentinel_port).execute_command("SENTINEL", "replicas", NAME)
        except (redis.RedisError, ValueError):
            return False
        return bool(known)
