"""What every upstream promises, whichever interface it speaks.

An upstream is named in `LOA["UPSTREAMS"]`: `{"demo": {"class": "inference.demo.upstream.DemoUpstream"}}`; the
class is called with its name and every other key of the entry as keyword arguments. It is asked with plain
values and answers with plain values; it knows nothing of payments.
"""

from dataclasses import dataclass
from typing import Protocol

from inference.domain.chat import Message
from inference.domain.prices import Usage


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What an upstream is asked: `model` is the name the upstream knows, `max_tokens` the longest answer paid for."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back. `usage` is as reported, or None when the upstream did not say."""

    answer: str
    usage: Usage | None
    finish_reason: str


class Upstream(Protocol):
    """Someone who completes chats."""

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer the chat.

        Raises UpstreamUnavailable (try later), UpstreamRefused (this request never), UpstreamGarbage (broken).
        """
        ...
