"""The demonstration model as an upstream in this process: no network, no key."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from inference.demo import model
from inference.upstreams.base import CallPiece, Completion, CompletionRequest, Piece


class DemoUpstream:
    """Answers with `inference.demo.model`, whatever model name it is asked for.

    `token_seconds` is how long it waits before each token of a stream, so that it can be slow like a real one.
    """

    def __init__(self, *, name: str, token_seconds: float = 0.0) -> None:
        self.name = name
        self._token_seconds = token_seconds

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer deterministically; never fails."""
        made = _answer(request)
        return Completion(made.text, made.usage, made.finish_reason, tool_calls=made.tool_calls)

    @contextmanager
    def stream(self, request: CompletionRequest) -> Iterator[Iterator[Piece]]:
        """The same answer, token by token."""
        yield self._pieces(_answer(request))

    def check_key(self, api_key: str) -> bool:
        """It asks for no key, so every key will do."""
        return True

    def _pieces(self, made: model.DemoAnswer) -> Iterator[Piece]:
        for index, call in enumerate(made.tool_calls):
            yield Piece(calls=(CallPiece(index=index, id=call.id, name=call.name, arguments=call.arguments),))
        for token in made.tokens:
            if self._token_seconds:
                threading.Event().wait(self._token_seconds)
            yield Piece(text=token)
        yield Piece(finish_reason=made.finish_reason, usage=made.usage)


def _answer(request: CompletionRequest) -> model.DemoAnswer:
    return model.answer(request.messages, max_tokens=request.max_tokens, tools=request.tools, options=request.options)
