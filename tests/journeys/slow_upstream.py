"""The demonstration model, thinking for a while before it answers as a whole."""

import time

from inference.demo.upstream import DemoUpstream
from inference.upstreams.base import Completion, CompletionRequest


class SlowUpstream(DemoUpstream):
    """Waits `seconds` before each whole answer."""

    def __init__(self, *, name: str, seconds: float) -> None:
        super().__init__(name=name)
        self._seconds = seconds

    def complete(self, request: CompletionRequest) -> Completion:
        time.sleep(self._seconds)
        return super().complete(request)
