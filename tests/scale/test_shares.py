"""A share is really a bound, a pin really pins, and the balancer spreads connections."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from loa_site.local import ports
from tests.scale import shares
from tests.scale.balancer import Balancer

SPIN = "import time; end = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


def test_a_bound_group_gets_no_more_than_its_share() -> None:
    if not shares.can_share():
        pytest.skip("this process may make no control groups")
    share = shares.Share(0.2)
    try:
        share.bind()
        before, began = os.times(), time.monotonic()
        subprocess.run(share.around([sys.executable, "-c", SPIN.format(1.0)]), check=True)
        after, seconds = os.times(), time.monotonic() - began
        throttled = share.throttled_share()
    finally:
        share.remove()

    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used / seconds < 0.4
    assert throttled > 0


def test_nodes_are_pinned_to_cores_in_turn() -> None:
    available = shares.cores()
    commands = [shares.pinned(["true"], node=node) for node in range(len(available))]

    if len(available) == 1 or commands[0] == ["true"]:
        pytest.skip("one core, or no taskset")
    assert sorted(int(command[2]) for command in commands) == available
    assert all(subprocess.run(command, check=False).returncode == 0 for command in commands)


def test_connections_go_to_the_node_that_has_the_fewest_and_past_one_that_is_gone() -> None:
    async def play() -> Counter[bytes]:
        seen: Counter[bytes] = Counter()
        nodes, gone, front = [ports.free_port() for _ in range(2)], ports.free_port(), ports.free_port()

        def answering(name: bytes):
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readexactly(1)
                writer.write(name)
                await reader.read()
                writer.close()

            return answer

        servers = [
            await asyncio.start_server(answering(str(number).encode()), ports.HOST, port)
            for number, port in enumerate(nodes)
        ]
        serving = asyncio.create_task(Balancer([*nodes, gone]).serve(front))
        opened = []
        while len(opened) < 6:
            try:
                reader, writer = await asyncio.open_connection(ports.HOST, front)
            except OSError:
                await asyncio.sleep(0.02)  # the balancer is starting
                continue
            writer.write(b"?")
            seen[await reader.readexactly(1)] += 1
            opened.append(writer)
        for writer in opened:
            writer.close()
        serving.cancel()
        for server in servers:
            server.close()
        return seen

    assert asyncio.run(asyncio.wait_for(play(), 30)) == {b"0": 3, b"1": 3}
