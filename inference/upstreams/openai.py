"""An upstream that speaks the OpenAI chat API at a URL: the real one, or any server that imitates it.

Asked through `outbound`, which bounds time and size and follows no redirect. The key is sent and never logged.
Source: OpenAI API reference, "Create chat completion" and "Streaming".
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from inference.domain.chat import Message, ToolCall
from inference.domain.errors import UpstreamGarbage, UpstreamUnavailable
from inference.domain.prices import Usage
from inference.upstreams.base import CallPiece, Completion, CompletionRequest, Piece
from inference.upstreams.events import UpstreamCall, answer_of, events_of, require_success, status_of

MAX_TOKENS_REPORTED = 100_000_000  # a larger figure is not a token count
REFUSES_KEY = frozenset({401, 403})


class OpenAIUpstream:
    """Completes chats at `{base_url}/chat/completions`."""

    def __init__(self, *, name: str, base_url: str, api_key: str = "", max_tokens_field: str = "max_tokens") -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._max_tokens_field = max_tokens_field

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer the chat. Raises UpstreamUnavailable, UpstreamRefused or UpstreamGarbage."""
        return self._completion(answer_of(self._call(request, is_stream=False)))

    @contextmanager
    def stream(self, request: CompletionRequest) -> Iterator[Iterator[Piece]]:
        """Answer the chat piece by piece. Raises as `complete`."""
        with events_of(self._call(request, is_stream=True)) as documents:
            yield self._pieces(documents)

    def check_key(self, api_key: str) -> bool:
        """Whether the list of models may be read with this key."""
        status = status_of(UpstreamCall(self.name, f"{self._base_url}/models", _authorization(api_key)))
        if status in REFUSES_KEY:
            return False
        require_success(self.name, status)
        return True

    def _call(self, request: CompletionRequest, *, is_stream: bool) -> UpstreamCall:
        body: dict[str, object] = {
            **request.options,
            "model": request.model,
            "messages": [_wire(message) for message in request.messages],
            self._max_tokens_field: request.max_tokens,
            "stream": is_stream,
        }
        if request.tools:
            body["tools"] = list(request.tools)
        if is_stream:
            body["stream_options"] = {"include_usage": True}
        headers = _authorization(request.api_key or self._api_key)
        return UpstreamCall(self.name, f"{self._base_url}/chat/completions", headers, body)

    def _completion(self, answer: object) -> Completion:
        match answer:
            case {"choices": [{"message": {**message}, **choice}, *_]}:
                reason, content, calls = choice.get("finish_reason"), message.get("content"), _calls(message)
                if calls or (isinstance(content, str) and content):
                    return Completion(
                        answer=content if isinstance(content, str) else "",
                        usage=_usage(answer),
                        finish_reason=reason if isinstance(reason, str) else "stop",
                        tool_calls=calls,
                    )
        raise UpstreamGarbage(self.name, "the answer holds no message")

    def _pieces(self, documents: Iterator[object]) -> Iterator[Piece]:
        """What each document brings; an answer without a finish reason was cut."""
        is_finished = False
        for document in documents:
            piece = self._piece(document)
            is_finished = is_finished or bool(piece.finish_reason)
            yield piece
        if not is_finished:
            raise UpstreamUnavailable(self.name, "the stream ended before the answer did")

    def _piece(self, document: object) -> Piece:
        match document:
            case {"error": _}:
                raise UpstreamUnavailable(self.name, "told of an error in its stream")
            case {"choices": [{"delta": {**delta}, **choice}, *_]}:
                reason, text = choice.get("finish_reason"), delta.get("content")
                return Piece(
                    text=text if isinstance(text, str) else "",
                    calls=_call_pieces(delta.get("tool_calls")),
                    finish_reason=reason if isinstance(reason, str) else "",
                    usage=_usage(document),
                )
            case {"choices": [{"message": _}, *_]}:
                return _piece_of(self._completion(document))
            case {"choices": []}:
                return Piece(usage=_usage(document))
        raise UpstreamGarbage(self.name, "an event is no part of an answer")


def _authorization(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def _wire(message: Message) -> dict[str, object]:
    """A message as the interface writes it."""
    written: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [call.to_json() for call in message.tool_calls]
        written["content"] = message.content or None
    if message.tool_call_id:
        written["tool_call_id"] = message.tool_call_id
    return written


def _calls(message: Mapping[object, object]) -> tuple[ToolCall, ...]:
    """The tool calls of a message that are whole; anything else in their place is dropped."""
    raw, found = message.get("tool_calls"), []
    for call in raw if isinstance(raw, list) else []:
        match call:
            case {"id": str(call_id), "function": {"name": str(name), "arguments": str(arguments)}}:
                found.append(ToolCall(id=call_id, name=name, arguments=arguments))
    return tuple(found)


def _call_pieces(raw: object) -> tuple[CallPiece, ...]:
    found = []
    for part in raw if isinstance(raw, list) else []:
        match part:
            case {"index": int(index), "function": {**function}}:
                name, arguments, call_id = function.get("name"), function.get("arguments"), part.get("id")
                found.append(
                    CallPiece(
                        index=index,
                        id=call_id if isinstance(call_id, str) else "",
                        name=name if isinstance(name, str) else "",
                        arguments=arguments if isinstance(arguments, str) else "",
                    )
                )
    return tuple(found)


def _piece_of(whole: Completion) -> Piece:
    """A whole answer as a stream of one piece, from a server that does not stream."""
    calls = tuple(
        CallPiece(index=index, id=call.id, name=call.name, arguments=call.arguments)
        for index, call in enumerate(whole.tool_calls)
    )
    return Piece(text=whole.answer, calls=calls, finish_reason=whole.finish_reason, usage=whole.usage)


def _usage(answer: object) -> Usage | None:
    """The reported token counts, or None where there are none that could be true."""
    match answer:
        case {"usage": {"prompt_tokens": int(read), "completion_tokens": int(written)}} if all(
            0 <= count <= MAX_TOKENS_REPORTED for count in (read, written)
        ):
            return Usage(input_tokens=read, output_tokens=written)
    return None
