"""The demonstration model: a fixed rule, not a language model, and it says so in every answer.

It describes what it was sent (turns, words, tokens), quotes the last message, and ends with a fingerprint of the
conversation. The same messages always get the same answer. Its tokenizer is `inference.domain.tokens`; the
token counts it reports are counts of exactly what it read and wrote, and it stops at `max_tokens`. Given tools, it
calls the one whose name the last message holds (or the one it is made to call), and repeats a tool's result in words.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from inference.domain.chat import ChatRequest, Message, ToolCall
from inference.domain.prices import Usage
from inference.domain.tokens import count_tokens, tokenize
from x402.protocol.strict_json import JsonObject, JsonValue

NAME = "loa-demo"
QUOTED_CHARACTERS = 200  # enough to recognise one's own question


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """An answer with the true counts behind it. `finish_reason` is `stop`, `tool_calls`, or `length` when it was cut.

    `tokens` are the parts of the text in which it would be streamed.
    """

    tokens: tuple[str, ...]
    usage: Usage
    finish_reason: str
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def answer(
    messages: tuple[Message, ...],
    *,
    max_tokens: int,
    tools: tuple[JsonObject, ...] = (),
    options: Mapping[str, JsonValue] | None = None,
) -> DemoAnswer:
    """Answer a conversation with at most `max_tokens` tokens; deterministic."""
    request = ChatRequest(messages=messages, model=None, max_tokens=max_tokens, tools=tools, options=options or {})
    call = _call(request)
    if call is not None and (written := count_tokens(call.name + call.arguments)) <= max_tokens:
        return DemoAnswer((), Usage(request.input_tokens, written), "tool_calls", tool_calls=(call,))
    words = tokenize(_compose(messages, request.input_tokens))
    kept = tuple(words[:max_tokens])
    return DemoAnswer(
        tokens=kept,
        usage=Usage(input_tokens=request.input_tokens, output_tokens=len(kept)),
        finish_reason="stop" if len(kept) == len(words) else "length",
    )


def _call(request: ChatRequest) -> ToolCall | None:
    """The call to make: the tool that is demanded, else the first that the last message names; None after a result."""
    choice, last = request.options.get("tool_choice", "auto"), request.messages[-1]
    if choice == "none" or last.role == "tool":
        return None
    for function in (tool["function"] for tool in request.tools):
        if not isinstance(function, dict):
            continue
        name = str(function.get("name"))
        is_named = name in last.content or choice == "required"
        if choice == {"type": "function", "function": {"name": name}} or (is_named and not isinstance(choice, dict)):
            arguments = json.dumps(_arguments(function, last.content), ensure_ascii=False)
            return ToolCall(id=f"call_{_fingerprint(request.messages)}", name=name, arguments=arguments)
    return None


def _arguments(function: JsonObject, said: str) -> dict[str, object]:
    """Something for every required property: the last message where a text is wanted, else the type's empty value."""
    schema = function.get("parameters")
    required = schema.get("required") if isinstance(schema, dict) else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(required, list) or not isinstance(properties, dict):
        return {}
    return {str(name): _value(properties.get(str(name)), said) for name in required}


def _value(kind: JsonValue, said: str) -> object:
    wanted = kind.get("type") if isinstance(kind, dict) else None
    empty: dict[str, object] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    return empty.get(str(wanted), said[:QUOTED_CHARACTERS])


def _compose(messages: tuple[Message, ...], input_tokens: int) -> str:
    last = messages[-1].content.strip()
    quoted = last if len(last) <= QUOTED_CHARACTERS else f"{last[:QUOTED_CHARACTERS]}…"
    turns = "one message" if len(messages) == 1 else f"{len(messages)} messages"
    words = sum(len(message.content.split()) for message in messages)
    return (
        f"You wrote: “{quoted}” "
        f"I am {NAME}, a built-in demonstration and not a language model: I read {turns}, {words} words and "
        f"{input_tokens} tokens, and I answer the same request the same way every time. "
        f"Fingerprint of this conversation: {_fingerprint(messages)}."
    )


def _fingerprint(messages: tuple[Message, ...]) -> str:
    digest = hashlib.sha256()
    for message in messages:
        for part in (message.role, message.content):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:16]
