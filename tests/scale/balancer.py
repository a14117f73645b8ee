"""The small proxy in front of the web nodes: each new connection goes to the node that has the fewest.

`python -m tests.scale.balancer PORT NODE_PORT…`. It passes bytes on and knows nothing of HTTP, as a network load
balancer does; a client that keeps its connection keeps its node.
"""

import asyncio
import contextlib
import sys
from collections import Counter

from loa_site.local import ports

CHUNK_BYTES = 65_536


class Balancer:
    """The nodes that get new connections, and how many each node has; one that left `nodes` keeps those it has."""

    def __init__(self, nodes: list[int]) -> None:
        self.nodes = nodes
        self.connections: Counter[int] = Counter()

    async def serve(self, port: int) -> None:
        """Accept until cancelled."""
        server = await asyncio.start_server(self.pass_on, ports.HOST, port, backlog=512)
        async with server:
            await server.serve_forever()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection: to the least busy node, or, where that one does not answer, to the next."""
        with contextlib.suppress(OSError):
            for node in sorted(self.nodes, key=self.connections.__getitem__):
                try:
                    back_reader, back_writer = await asyncio.open_connection(ports.HOST, node)
                except OSError:
                    continue
                self.connections[node] += 1
                try:
                    await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))
                finally:
                    self.connections[node] -= 1
                return
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until the sender ends, then end the other side too."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(Balancer([int(port) for port in sys.argv[2:]]).serve(int(sys.argv[1])))
