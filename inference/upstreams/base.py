"""What every upstream promises, whichever interface it speaks.

An upstream is named in `LOA["UPSTREAMS"]`: `{"demo": {"class": "inference.demo.upstream.DemoUpstream"}}`; the
class is called with its name and every other key of the entry as keyword arguments. It is asked with plain
values and answers with plain values; it knows nothing of payments.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from inference.domain.chat import Message, ToolCall
from inference.domain.prices import Usage
from x402.protocol.strict_json import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What an upstream is asked: `model` is the name the upstream knows, `max_tokens` the longest answer paid for.

    `tools` and `options` are as the OpenAI interface writes them. `api_key` replaces the site's own key (BYOK).
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    tools: tuple[JsonObject, ...] = ()
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back. `usage` is as reported, or None when the upstream did not say."""

    answer: str
    usage: Usage | None
    finish_reason: str
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def written_text(self) -> str:
        """Everything the model wrote: the answer, and the calls it asked for."""
        return self.answer + "".join(f"{call.name}{call.arguments}" for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A part of a tool call: id and name come with its first part, the arguments in as many as they like."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a streamed answer: text, parts of calls, the reason it ended, the usage; each may be absent."""

    text: str = ""
    calls: tuple[CallPiece, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None

    @property
    def written_text(self) -> str:
        """What of the answer this piece brought."""
        return self.text + "".join(f"{call.name}{call.arguments}" for call in self.calls)


class Upstream(Protocol):
    """Someone who completes chats."""

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer the chat.

        Raises UpstreamUnavailable (try later), UpstreamRefused (this request never), UpstreamGarbage (broken).
        """
        ...

    def stream(self, request: CompletionRequest) -> AbstractContextManager[Iterator[Piece]]:
        """Answer the chat piece by piece; leaving the context ends the call, whatever was read.

        Raises as `complete`, when it is entered or while it is read. An answer that ends without a reason to end was
        cut: UpstreamUnavailable.
        """
        ...

    def check_key(self, api_key: str) -> bool:
        """Whether this upstream accepts a key; asks for nothing that costs.

        Raises UpstreamUnavailable, UpstreamRefused and UpstreamGarbage when that cannot be found out.
        """
        ...
