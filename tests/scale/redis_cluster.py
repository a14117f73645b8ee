"""A real Redis cluster of three nodes on this machine, each with its share of the 16,384 slots and no replica."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.exceptions import RedisClusterException

from loa_site.local import binaries, ports, process

NODES, SLOTS = 3, 16_384
PATIENCE_SECONDS = 30.0
BUS_OFFSET = 10_000  # where a node talks to the others; a port above 55,535 has no such second one


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One server, and the slots it was given."""

    port: int
    slots: tuple[int, int]
    record: process.Record

    @property
    def url(self) -> str:
        return f"redis://{ports.HOST}:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain client of this node alone, which follows nobody."""
        return redis.Redis.from_url(self.url, socket_timeout=5)


@contextmanager
def redis_cluster(folder: Path) -> Iterator[list[ClusterNode]]:
    """Three nodes that know each other and hold all slots between them; stopped at the end."""
    with ExitStack() as exits:
        nodes = []
        for number in range(NODES):
            first, last = number * SLOTS // NODES, (number + 1) * SLOTS // NODES - 1
            node = _start(folder / f"node-{number}", (first, last))
            exits.callback(process.stop, node.record)
            nodes.append(node)
        for number, node in enumerate(nodes):
            client = node.client()
            client.execute_command("CLUSTER ADDSLOTSRANGE", *node.slots)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER MEET", ports.HOST, nodes[0].port)
            client.close()
        _wait_until_whole(nodes)
        yield nodes


def _start(folder: Path, slots: tuple[int, int]) -> ClusterNode:
    folder.mkdir(parents=True)
    port, log = _port_with_room_for_the_bus(), folder / "redis.log"
    command = process.Command(
        name="redis-node",
        arguments=[
            str(binaries.redis_server()),
            *("--port", str(port), "--bind", ports.HOST, "--dir", str(folder), "--save", "", "--appendonly", "no"),
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000"),
        ],
        log=log,
    )
    child, record = process.start(command)
    process.wait_until(lambda: ports.is_open(port), process=child, log=log, seconds=PATIENCE_SECONDS)
    return ClusterNode(port, slots, record)


def _port_with_room_for_the_bus() -> int:
    while True:
        port = ports.free_port()
        if port + BUS_OFFSET < 2**16:
            with socket.socket() as bus:
                if bus.connect_ex((ports.HOST, port + BUS_OFFSET)) != 0:
                    return port


def _wait_until_whole(nodes: list[ClusterNode]) -> None:
    """Return when every node says that all slots are served and that it knows all nodes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    waiting = {node.port for node in nodes}
    while waiting:
        for node in [one for one in nodes if one.port in waiting]:
            client = node.client()
            facts = client.execute_command("CLUSTER INFO")
            text = facts if isinstance(facts, dict) else dict(_pairs(bytes(facts).decode()))
            client.close()
            if text.get("cluster_state") == "ok" and text.get("cluster_known_nodes") == str(len(nodes)):
                waiting.discard(node.port)
        if time.monotonic() > deadline:
            raise RedisClusterException(f"{len(waiting)} of {len(nodes)} nodes do not see the whole cluster")
        time.sleep(0.05)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, found, value = line.partition(":")
        if found:
            yield name, value
