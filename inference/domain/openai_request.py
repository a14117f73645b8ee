"""A chat as clients of the OpenAI interface write it: messages, tools, sampling options, and whether to stream.

What changes neither price nor shape of the answer (temperature, stop, tool_choice …) is checked for its kind and goes
to the upstream as it came. What would change what is sold is refused by name: several choices at once, pictures and
sound, log probabilities, and every field we do not know, because a misspelt limit would buy another amount.
Source: OpenAI API reference, "Create chat completion".
"""

from collections.abc import Callable, Mapping
from typing import Final

from inference.domain.chat import MAX_MESSAGES, MAX_MODEL_NAME, ChatRequest, Message, ToolCall, read_max_tokens
from inference.domain.errors import InvalidChatRequest
from x402.protocol.strict_json import JsonObject, JsonValue

MAX_TOOLS: Final = 128
MAX_STOPS: Final = 4
MAX_NAME: Final = 64
OWN_KEY_FIELD: Final = "loa_upstream_key"
ROLES: Final = ("system", "developer", "user", "assistant", "tool")


def _is_number(low: float, high: float) -> Callable[[JsonValue], bool]:
    def fits(value: JsonValue) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    return fits


def _is_stop(value: JsonValue) -> bool:
    stops = value if isinstance(value, list) else [value]
    return 0 < len(stops) <= MAX_STOPS and all(isinstance(stop, str) and stop for stop in stops)


def _is_integer(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Options that pass to the upstream, and what each may be.
OPTIONS: Final[Mapping[str, Callable[[JsonValue], bool]]] = {
    "temperature": _is_number(0, 2),
    "top_p": _is_number(0, 1),
    "presence_penalty": _is_number(-2, 2),
    "frequency_penalty": _is_number(-2, 2),
    "seed": _is_integer,
    "stop": _is_stop,
    "tool_choice": lambda value: value in ("none", "auto", "required") or isinstance(value, dict),
    "parallel_tool_calls": lambda value: isinstance(value, bool),
    "response_format": lambda value: isinstance(value, dict) and isinstance(value.get("type"), str),
}
# Read here and not passed on: they say nothing to a model.
READ: Final = (
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "tools",
    "stream",
    "stream_options",
    "n",
    "user",
    "store",
    "metadata",
    OWN_KEY_FIELD,
)


def parse_openai_request(body: object) -> ChatRequest:
    """Read a parsed JSON body. Raises InvalidChatRequest, whose code and field say what is wrong."""
    if not isinstance(body, Mapping):
        raise _refusal("The body must be a JSON object.", field="")
    given: dict[str, JsonValue] = {str(name): value for name, value in body.items() if value is not None}
    unknown = sorted(set(given) - set(OPTIONS) - set(READ))
    if unknown:
        name = ascii(unknown[0][:40])
        raise _refusal(f"Unknown or unsupported field {name}.", field=name.strip("'"))
    _require_one_choice(given)
    is_stream = _flag(given.get("stream", False), field="stream")
    return ChatRequest(
        messages=_messages(given.get("messages")),
        model=_model(given.get("model")),
        max_tokens=_most(given),
        tools=_tools(given.get("tools", [])),
        options=_options(given),
        is_stream=is_stream,
        includes_usage=_includes_usage(given.get("stream_options"), is_stream=is_stream),
        own_key=_text(given.get(OWN_KEY_FIELD, ""), field=OWN_KEY_FIELD),
    )


def _require_one_choice(given: Mapping[str, JsonValue]) -> None:
    if given.get("n", 1) != 1:
        raise _refusal("n must be 1: each choice would cost as much as the first.", field="n")


def _options(given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    chosen = {name: value for name, value in given.items() if name in OPTIONS}
    for name, value in chosen.items():
        if not OPTIONS[name](value):
            raise _refusal(f"{name} has a value that is not acceptable.", field=name)
    return chosen


def _most(given: Mapping[str, JsonValue]) -> int | None:
    """The longest answer to pay for, under either of its names."""
    named = [name for name in ("max_tokens", "max_completion_tokens") if name in given]
    if len(named) == 2:
        raise _refusal("Send max_tokens or max_completion_tokens, not both.", field="max_tokens")
    return read_max_tokens({"max_tokens": given[named[0]]}) if named else None


def _model(name: JsonValue) -> str:
    if not isinstance(name, str) or not name or len(name) > MAX_MODEL_NAME:
        raise InvalidChatRequest("unknown_model", "model must name a model of GET /v1/models.", field="model")
    return name


def _messages(raw: JsonValue) -> tuple[Message, ...]:
    if not isinstance(raw, list):
        raise _refusal("messages must be a list.", field="messages")
    if not raw:
        raise InvalidChatRequest("empty_prompt", "messages is empty.", field="messages")
    if len(raw) > MAX_MESSAGES:
        raise _refusal(f"At most {MAX_MESSAGES} messages are read.", field="messages")
    return tuple(_message(item, field=f"messages[{index}]") for index, item in enumerate(raw))


def _message(item: JsonValue, *, field: str) -> Message:
    if not isinstance(item, dict):
        raise _refusal(f"{field} must be an object.", field=field)
    role = item.get("role")
    if role not in ROLES or not isinstance(role, str):
        raise _refusal(f"{field}.role must be one of {', '.join(ROLES)}.", field=f"{field}.role")
    unknown = set(item) - {"role", "content", "name", "tool_calls", "tool_call_id", "refusal"}
    if unknown:
        raise _refusal(f"{field} has a field that is not supported: {min(unknown)[:40]!a}.", field=field)
    calls = _calls(item.get("tool_calls"), field=f"{field}.tool_calls") if role == "assistant" else ()
    content = _content(item.get("content"), field=f"{field}.content")
    if not content.strip() and not calls and role != "tool":
        raise InvalidChatRequest("empty_prompt", f"{field}.content is empty.", field=f"{field}.content")
    call_id = item.get("tool_call_id", "")
    if role == "tool" and (not isinstance(call_id, str) or not call_id):
        raise _refusal(f"{field}.tool_call_id must name the call it answers.", field=f"{field}.tool_call_id")
    return Message(role, content, tool_calls=calls, tool_call_id=str(call_id) if role == "tool" else "")


def _content(value: JsonValue, *, field: str) -> str:
    """The text of a message, given as one string or as parts of text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_part(part, field=field) for part in value)
    raise _refusal(f"{field} must be a string or a list of text parts.", field=field)


def _part(part: JsonValue, *, field: str) -> str:
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return text
    raise _refusal(f"{field} holds a part that is not text; only text is sold.", field=field)


def _calls(raw: JsonValue, *, field: str) -> tuple[ToolCall, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or len(raw) > MAX_TOOLS:
        raise _refusal(f"{field} must be a list of at most {MAX_TOOLS} calls.", field=field)
    return tuple(_call(call, field=field) for call in raw)


def _call(call: JsonValue, *, field: str) -> ToolCall:
    match call:
        case {"id": str(call_id), "type": "function", "function": {"name": str(name), "arguments": str(arguments)}}:
            return ToolCall(id=call_id, name=name, arguments=arguments)
    raise _refusal(f"{field} must hold function calls with id, name and arguments.", field=field)


def _tools(raw: JsonValue) -> tuple[JsonObject, ...]:
    if not isinstance(raw, list) or len(raw) > MAX_TOOLS:
        raise _refusal(f"tools must be a list of at most {MAX_TOOLS} functions.", field="tools")
    return tuple(_tool(tool, field=f"tools[{index}]") for index, tool in enumerate(raw))


def _tool(tool: JsonValue, *, field: str) -> JsonObject:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(tool, dict) and isinstance(name, str) and 0 < len(name) <= MAX_NAME:
        return tool
    raise _refusal(f"{field} must be a function with a name of 1 to {MAX_NAME} characters.", field=field)


def _includes_usage(raw: JsonValue, *, is_stream: bool) -> bool:
    if raw is None:
        return False
    if not is_stream or not isinstance(raw, dict) or set(raw) - {"include_usage", "include_obfuscation"}:
        raise _refusal("stream_options goes with stream and knows include_usage.", field="stream_options")
    return _flag(raw.get("include_usage", False), field="stream_options.include_usage")


def _flag(value: JsonValue, *, field: str) -> bool:
    if not isinstance(value, bool):
        raise _refusal(f"{field} must be true or false.", field=field)
    return value


def _text(value: JsonValue, *, field: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise _refusal(f"{field} must be a short string.", field=field)
    return value


def _refusal(detail: str, *, field: str) -> InvalidChatRequest:
    return InvalidChatRequest("invalid_parameters", detail, field=field)
