"""The balancer of a deployment: web processes are admitted to its rotation and retired from it while clients call."""

import asyncio
import threading

from loa_site.local import ports
from tests.scale.balancer import Balancer


class Rotation:
    """Listens on `port`. A retired process gets no new connection and keeps those it has."""

    def __init__(self) -> None:
        self.port = ports.free_port()
        self._balancer = Balancer([])
        self._loop = asyncio.new_event_loop()
        self._serving = self._loop.create_task(self._balancer.serve(self.port))
        self._thread = threading.Thread(target=self._run, name="rotation", daemon=True)
        self._thread.start()

    def admit(self, port: int) -> None:
        """This process answers from now on."""
        self._balancer.nodes = [*self._balancer.nodes, port]

    def retire(self, port: int) -> None:
        """No new connection for this process."""
        self._balancer.nodes = [one for one in self._balancer.nodes if one != port]

    def open_to(self, port: int) -> int:
        """How many connections this process has."""
        return self._balancer.connections[port]

    def close(self) -> None:
        """Stop listening, and cut what is open."""
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        tasks = asyncio.gather(self._serving, return_exceptions=True)
        self._loop.run_until_complete(tasks)
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()
