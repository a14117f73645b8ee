"""A message to an NFT's agent, as its buyer writes it.

The agent's personality stands before the message and is priced with it. Personalities change between a quote and its
payment, so what is reserved for one is a fixed number of tokens, and what is charged is what was read (rule R20).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inference.domain.chat import ChatRequest, Message, read_max_tokens
from inference.domain.errors import InvalidChatRequest

PERSONA_TOKENS_MAX: Final = 3_000  # no personality that is accepted has more; a test holds them to it
MESSAGE_LENGTH_MAX: Final = 8_000
NAME_LENGTH_MAX: Final = 80
SESSION_ID_LENGTH_MAX: Final = 64
FIELDS: Final = ("token_id", "collection", "chain", "message", "session_id", "max_tokens")


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """What was asked of which agent. `session_id` is the buyer's own mark, given back; nothing is remembered by it."""

    token_id: str
    collection: str
    chain: str
    message: str
    session_id: str
    max_tokens: int | None

    def priced(self) -> ChatRequest:
        """As it is priced: with room for whatever personality the agent has when it answers."""
        return ChatRequest(
            messages=(Message("user", self.message),),
            model=None,
            max_tokens=self.max_tokens,
            reserved_tokens=PERSONA_TOKENS_MAX,
        )

    def spoken(self, system_prompt: str) -> ChatRequest:
        """As the model reads it."""
        messages = (Message("system", system_prompt), Message("user", self.message))
        return ChatRequest(messages=messages, model=None, max_tokens=self.max_tokens)


def parse_agent_message(body: object) -> AgentMessage:
    """Read a parsed JSON body. Raises InvalidChatRequest, whose code says which field is wrong and why."""
    if not isinstance(body, Mapping):
        raise InvalidChatRequest("invalid_parameters", "The body must be a JSON object.", field="")
    if set(body) - set(FIELDS):
        raise InvalidChatRequest("invalid_parameters", f"Known fields: {', '.join(FIELDS)}.", field="")
    message = _text(body, "message", longest=MESSAGE_LENGTH_MAX)
    if not message.strip():
        raise InvalidChatRequest("empty_prompt", "message is empty.", field="message")
    return AgentMessage(
        token_id=_text(body, "token_id", longest=NAME_LENGTH_MAX),
        collection=_text(body, "collection", longest=NAME_LENGTH_MAX, default=""),
        chain=_text(body, "chain", longest=NAME_LENGTH_MAX, default=""),
        message=message,
        session_id=_text(body, "session_id", longest=SESSION_ID_LENGTH_MAX, default=""),
        max_tokens=read_max_tokens(body),
    )


def _text(body: Mapping[str, object], field: str, *, longest: int, default: str | None = None) -> str:
    value = body.get(field, default)
    if not isinstance(value, str):
        raise InvalidChatRequest("invalid_parameters", f"{field} must be a string.", field=field)
    if len(value) > longest:
        raise InvalidChatRequest("invalid_parameters", f"{field} has at most {longest} characters.", field=field)
    return value
