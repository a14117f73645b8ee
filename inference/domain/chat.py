"""A chat request as a buyer writes it: a prompt or messages, a model, and how long the answer may be.

The body arrives parsed (once, strictly: rule R21, so `256.0` is already the number 256); here it is read field by
field. Nothing is guessed or coerced: `"256"` and `true` are not numbers of tokens, and a field we do not know is
refused, because a misspelt `max_tokens` would silently buy another amount than the buyer meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.domain.errors import InvalidChatRequest
from inference.domain.tokens import count_prompt_tokens, count_tokens
from x402.protocol.strict_json import JsonObject, JsonValue, canonical_bytes

DEFAULT_MAX_TOKENS = 512  # what an answer may have when the buyer says nothing: a page of text
LARGEST_MAX_TOKENS = 10_000_000  # beyond any model; keeps arithmetic and messages small
MAX_MESSAGES = 200  # a 64 KiB body of shorter messages is not a conversation
MAX_MODEL_NAME = 100
ROLES = ("system", "user", "assistant")
FIELDS = ("model", "prompt", "messages", "max_tokens")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model asked for; `arguments` is the text it wrote, which need not be JSON."""

    id: str
    name: str
    arguments: str

    def to_json(self) -> JsonObject:
        """As the OpenAI interface writes it."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `tool_call_id` names the call whose result this is."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def read_text(self) -> str:
        """Everything of it that a model reads: what was said, and the calls that were asked for."""
        return self.content + "".join(f"{call.name}{call.arguments}" for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What was asked; `model` and `max_tokens` are None where the buyer left the choice to us.

    `tools` and `options` (temperature, stop …) go to the upstream as they came. `own_key` is the id of a key of the
    buyer's own, where the upstream shall be paid by the buyer (BYOK). `reserved_tokens` is room for a text that is put
    before the messages later; none is sent to an upstream. Units: tokens.
    """

    messages: tuple[Message, ...]
    model: str | None
    max_tokens: int | None
    tools: tuple[JsonObject, ...] = ()
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    is_stream: bool = False
    includes_usage: bool = False
    own_key: str = ""
    reserved_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        """Tokens a model reads for this request, by our own count: its turns, its tools and the form it asks for."""
        read = self.reserved_tokens + count_prompt_tokens(message.read_text for message in self.messages)
        forms = [*self.tools, *(value for value in self.options.values() if isinstance(value, dict))]
        return read + sum(count_tokens(canonical_bytes(form).decode()) for form in forms)

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities a model must have to answer it, beyond chatting, which all have."""
        talks_of_tools = self.tools or any(message.tool_calls or message.tool_call_id for message in self.messages)
        return frozenset({"tools"} if talks_of_tools else ())


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """How much a model can read and write. Units: tokens."""

    name: str
    context_tokens: int
    max_output_tokens: int


def parse_chat_request(body: object) -> ChatRequest:
    """Read a parsed JSON body. Raises InvalidChatRequest, whose code says which field is wrong and why."""
    if not isinstance(body, Mapping):
        raise InvalidChatRequest("invalid_parameters", "The body must be a JSON object.", field="")
    unknown = sorted(set(body) - set(FIELDS))
    if unknown:
        name = _shown(unknown[0])
        known = ", ".join(FIELDS)
        raise InvalidChatRequest("invalid_parameters", f"Unknown field {name}. Known fields: {known}.", field=name)
    return ChatRequest(messages=_messages(body), model=_model(body), max_tokens=read_max_tokens(body))


def allowed_output_tokens(request: ChatRequest, limits: ModelLimits) -> int:
    """How many tokens the answer may have, which is what the buyer reserves. Units: tokens.

    Raises InvalidChatRequest when the prompt does not fit the model or the wish exceeds it.
    """
    room = limits.context_tokens - request.input_tokens
    if room < 1:
        raise InvalidChatRequest(
            "prompt_too_long",
            f"The prompt has {request.input_tokens} tokens; {limits.name} reads at most {limits.context_tokens - 1}.",
            field="messages",
        )
    if request.max_tokens is None:
        return min(DEFAULT_MAX_TOKENS, limits.max_output_tokens, room)
    if request.max_tokens > limits.max_output_tokens:
        raise InvalidChatRequest(
            "invalid_max_tokens",
            f"max_tokens is {request.max_tokens}; {limits.name} writes at most {limits.max_output_tokens}.",
            field="max_tokens",
        )
    if request.max_tokens > room:
        raise InvalidChatRequest(
            "prompt_too_long",
            f"Prompt ({request.input_tokens} tokens) and max_tokens ({request.max_tokens}) together exceed the "
            f"{limits.context_tokens} tokens of {limits.name}.",
            field="max_tokens",
        )
    return request.max_tokens


def _messages(body: Mapping[str, object]) -> tuple[Message, ...]:
    if "prompt" in body and "messages" in body:
        raise InvalidChatRequest("invalid_parameters", "Send prompt or messages, not both.", field="prompt")
    if "messages" not in body:
        return (Message("user", _text(body.get("prompt", ""), field="prompt")),)
    raw = body["messages"]
    if not isinstance(raw, list):
        raise InvalidChatRequest("invalid_parameters", "messages must be a list.", field="messages")
    if not raw:
        raise InvalidChatRequest("empty_prompt", "messages is empty.", field="messages")
    if len(raw) > MAX_MESSAGES:
        raise InvalidChatRequest("invalid_parameters", f"At most {MAX_MESSAGES} messages are read.", field="messages")
    return tuple(_message(item, field=f"messages[{index}]") for index, item in enumerate(raw))


def _message(item: object, *, field: str) -> Message:
    if not isinstance(item, Mapping) or set(item) != {"role", "content"}:
        raise InvalidChatRequest("invalid_parameters", f"{field} must be an object with role and content.", field=field)
    role = item["role"]
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidChatRequest("invalid_parameters", f"{field}.role must be one of {', '.join(ROLES)}.", field=field)
    return Message(role, _text(item["content"], field=f"{field}.content"))


def _text(value: object, *, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidChatRequest("invalid_parameters", f"{field} must be a string.", field=field)
    if not value.strip():
        raise InvalidChatRequest("empty_prompt", f"{field} is empty.", field=field)
    return value


def _model(body: Mapping[str, object]) -> str | None:
    if "model" not in body:
        return None
    name = body["model"]
    if not isinstance(name, str):
        raise InvalidChatRequest("invalid_parameters", "model must be a string.", field="model")
    if not name or len(name) > MAX_MODEL_NAME:
        raise InvalidChatRequest("unknown_model", "No model has such a name.", field="model")
    return name


def read_max_tokens(body: Mapping[str, object]) -> int | None:
    """The longest answer that is wished, or None. Raises InvalidChatRequest. Units: tokens."""
    if "max_tokens" not in body:
        return None
    value = body["max_tokens"]
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidChatRequest("invalid_max_tokens", "max_tokens must be a whole number.", field="max_tokens")
    if not 1 <= value <= LARGEST_MAX_TOKENS:
        raise InvalidChatRequest(
            "invalid_max_tokens", f"max_tokens must be from 1 to {LARGEST_MAX_TOKENS}.", field="max_tokens"
        )
    return value


def _shown(name: object) -> str:
    return ascii(str(name)[:40])
