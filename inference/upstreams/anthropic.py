"""An upstream that speaks the Anthropic Messages API at a URL.

The OpenAI shapes of our requests are put into the other interface's: system messages become `system`, tool results
become blocks of a user turn, and what the interface does not know (seed, penalties, response_format) is left out.
Source: Anthropic API reference, "Messages" and "Streaming Messages", version 2023-06-01.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from inference.domain.chat import Message, ToolCall
from inference.domain.errors import UpstreamGarbage, UpstreamUnavailable
from inference.domain.prices import Usage
from inference.upstreams.base import CallPiece, Completion, CompletionRequest, Piece
from inference.upstreams.events import UpstreamCall, answer_of, events_of, require_success, status_of
from inference.upstreams.openai import MAX_TOKENS_REPORTED, REFUSES_KEY
from x402.protocol.strict_json import JsonObject, JsonValue

VERSION: Final = "2023-06-01"
FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
INSTRUCTIONS: Final = ("system", "developer")


class AnthropicUpstream:
    """Completes chats at `{base_url}/messages`."""

    def __init__(self, *, name: str, base_url: str, api_key: str = "") -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer the chat. Raises UpstreamUnavailable, UpstreamRefused or UpstreamGarbage."""
        answer = answer_of(self._call(request, is_stream=False))
        match answer:
            case {"content": [*blocks], "stop_reason": str(reason)}:
                text, calls = _text_of(blocks), _calls_of(blocks)
                if text or calls:
                    usage = _usage(answer)
                    return Completion(text, usage, FINISH_REASONS.get(reason, "stop"), tool_calls=calls)
        raise UpstreamGarbage(self.name, "the answer holds no message")

    @contextmanager
    def stream(self, request: CompletionRequest) -> Iterator[Iterator[Piece]]:
        """Answer the chat piece by piece. Raises as `complete`."""
        with events_of(self._call(request, is_stream=True)) as documents:
            yield self._pieces(documents)

    def check_key(self, api_key: str) -> bool:
        """Whether the list of models may be read with this key."""
        status = status_of(UpstreamCall(self.name, f"{self._base_url}/models", self._headers(api_key)))
        if status in REFUSES_KEY:
            return False
        require_success(self.name, status)
        return True

    def _headers(self, api_key: str) -> dict[str, str]:
        return {"anthropic-version": VERSION} | ({"x-api-key": api_key} if api_key else {})

    def _call(self, request: CompletionRequest, *, is_stream: bool) -> UpstreamCall:
        system = "\n\n".join(message.content for message in request.messages if message.role in INSTRUCTIONS)
        body: dict[str, object] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": _turns(request.messages),
            "stream": is_stream,
            **_options(request.options),
        }
        if system:
            body["system"] = system
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        return UpstreamCall(
            self.name, f"{self._base_url}/messages", self._headers(request.api_key or self._api_key), body
        )

    def _pieces(self, documents: Iterator[object]) -> Iterator[Piece]:
        is_finished, read, numbers = False, 0, _CallNumbers()
        for document in documents:
            match document:
                case {"type": "message_start", "message": {"usage": {"input_tokens": int(count)}}}:
                    read = count
                case {
                    "type": "content_block_start",
                    "index": int(block),
                    "content_block": {"type": "tool_use", **tool},
                }:
                    call = CallPiece(numbers.of(block), id=str(tool.get("id", "")), name=str(tool.get("name", "")))
                    yield Piece(calls=(call,))
                case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
                    yield Piece(text=text)
                case {
                    "type": "content_block_delta",
                    "index": int(block),
                    "delta": {"type": "input_json_delta", "partial_json": str(part)},
                }:
                    yield Piece(calls=(CallPiece(numbers.of(block), arguments=part),))
                case {"type": "message_delta", "delta": {"stop_reason": str(reason)}, **rest}:
                    is_finished = True
                    usage = _usage({"usage": {"input_tokens": read} | _mapping(rest.get("usage"))})
                    yield Piece(finish_reason=FINISH_REASONS.get(reason, "stop"), usage=usage)
                case {"type": "error"}:
                    raise UpstreamUnavailable(self.name, "told of an error in its stream")
                case {"type": str()}:
                    continue  # ping, message_stop, and events that may come later, as the interface asks
                case _:
                    raise UpstreamGarbage(self.name, "an event is no part of an answer")
        if not is_finished:
            raise UpstreamUnavailable(self.name, "the stream ended before the answer did")


class _CallNumbers:
    """Which tool call a block of the answer is: blocks are numbered with the text, calls without it."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def of(self, block: int) -> int:
        return self._numbers.setdefault(block, len(self._numbers))


def _turns(messages: tuple[Message, ...]) -> list[dict[str, object]]:
    """Turns that alternate: neighbours of one role are one turn, and a tool's result belongs to the user's."""
    turns: list[dict[str, object]] = []
    for message in messages:
        if message.role in INSTRUCTIONS:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        last = turns[-1]["content"] if turns and turns[-1]["role"] == role else None
        if isinstance(last, list):
            last.extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[dict[str, object]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}]
    said: list[dict[str, object]] = [{"type": "text", "text": message.content}] if message.content else []
    return said + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call)} for call in message.tool_calls
    ]


def _arguments(call: ToolCall) -> dict[str, object]:
    """The arguments as the object this interface wants; a text that is none is handed over as it is."""
    try:
        parsed = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, dict) else {"arguments": call.arguments}


def _tool(tool: JsonObject) -> dict[str, object]:
    function = _mapping(tool.get("function"))
    described = {"description": function["description"]} if "description" in function else {}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function.get("name"), "input_schema": schema, **described}


def _options(options: Mapping[str, JsonValue]) -> dict[str, object]:
    """The options this interface has a word for."""
    chosen: dict[str, object] = {}
    if isinstance(temperature := options.get("temperature"), (int, float)):
        chosen["temperature"] = min(temperature, 1)
    if "top_p" in options:
        chosen["top_p"] = options["top_p"]
    if stop := options.get("stop"):
        chosen["stop_sequences"] = stop if isinstance(stop, list) else [stop]
    match options.get("tool_choice"):
        case {"function": {"name": str(name)}}:
            chosen["tool_choice"] = {"type": "tool", "name": name}
        case "required":
            chosen["tool_choice"] = {"type": "any"}
        case "none" | "auto" as word:
            chosen["tool_choice"] = {"type": word}
    return chosen


def _text_of(blocks: list[object]) -> str:
    return "".join(str(block["text"]) for block in map(_mapping, blocks) if isinstance(block.get("text"), str))


def _calls_of(blocks: list[object]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=str(block.get("id", "")), name=str(block.get("name", "")), arguments=json.dumps(block.get("input")))
        for block in map(_mapping, blocks)
        if block.get("type") == "tool_use"
    )


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _usage(answer: object) -> Usage | None:
    match answer:
        case {"usage": {"input_tokens": int(read), "output_tokens": int(written)}} if all(
            0 <= count <= MAX_TOKENS_REPORTED for count in (read, written)
        ):
            return Usage(input_tokens=read, output_tokens=written)
    return None
