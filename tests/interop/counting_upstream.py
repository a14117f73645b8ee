"""The built-in demonstration model, with a line in a file each time it is asked: how often paid work really ran."""

import os
import threading

from inference.demo.upstream import DemoUpstream
from inference.upstreams.base import Completion, CompletionRequest

RUNS_FILE = "INTEROP_RUNS_FILE"


class CountingUpstream(DemoUpstream):
    """Appends the prompt's last line to the file, in one write, before it answers."""

    _lock = threading.Lock()

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer like the demonstration model."""
        with self._lock, open(os.environ[RUNS_FILE], "a", encoding="utf-8") as file:
            file.write(str(request.messages[-1].content).replace("\n", " ") + "\n")
        return super().complete(request)
