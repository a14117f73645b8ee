"""The demonstration model as an upstream in this process: no network, no key."""

from inference.demo import model
from inference.upstreams.base import Completion, CompletionRequest


class DemoUpstream:
    """Answers with `inference.demo.model`, whatever model name it is asked for."""

    def __init__(self, *, name: str) -> None:
        self.name = name

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer deterministically; never fails."""
        made = model.answer(request.messages, max_tokens=request.max_tokens)
        return Completion(answer=made.text, usage=made.usage, finish_reason=made.finish_reason)
